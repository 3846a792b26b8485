"""Flower's options, except for login and address, which are in its environment.

`farm flower` and `farm up` read this file. Flower's documentation explains each option.
"""

# The columns of the task page, in order. The name is "linuxkit/foo:ab12cd34 s390x".
tasks_columns = "name,state,routing_key,worker,received,started,runtime,exception,uuid"

# Hide workers that ended an hour ago.
purge_offline_workers = 3600

# Tasks kept in memory; `farm status` shows older ones from the farm's own state.
max_tasks = 20000

# Show "2 minutes ago" instead of a time of day in the server's time zone.
natural_time = True

# No buttons, and no API, that change workers or tasks, which workers would refuse: use `farm cancel` and
# `farm workers`.
read_only = True

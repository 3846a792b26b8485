"""Flower's options that are no secret and no address; those come from its environment.

`farm flower` and `farm up` read this file. Flower's documentation explains each option.
"""

# What the page of tasks shows, and in which order: the name is "linuxkit/foo:ab12cd34 s390x".
tasks_columns = "name,state,routing_key,worker,received,started,runtime,exception,uuid"

# Nobody needs to see a worker that ended an hour ago.
purge_offline_workers = 3600

# Tasks kept in memory; the farm's own state outlives them (farm status).
max_tasks = 20000

# "2 minutes ago" instead of a time of day in the server's zone.
natural_time = True

"""The private farm: Redis, workers and Flower on this machine, started when no broker is set.

May import: monitor, state, trust, builders, settings, syntax, system, model, errors.
Must not know: the command line, plans; it starts workers by their command line and never imports them.
Public: connect_farm, host_workers (connect), StateDirectory (state_directory), Supervisor (supervisor).
"""

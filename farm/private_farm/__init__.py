"""The private farm: Redis, workers and Flower on this machine, started when no broker is set.

May import: builders, monitor, attestation, trust, model, settings, syntax, state, system, errors.
Must not know: the command line, plans; workers are started by their command line and never imported.
Public: connect_farm (connect), host_workers (connect), StateDirectory (state_directory),
Supervisor (supervisor), ensure_own_trust (own_keys).
"""

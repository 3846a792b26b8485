"""The state in Redis: runs, records and their transitions, leases, logs, contexts, workers.

May import: model, system, settings, errors.
Must not know: Celery, registries, builders, why a transition is made.
Public: Store (store), RunHandle (run_handles), move_job (transitions), read_run (runs), take (leases).
"""

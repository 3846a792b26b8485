"""Planning: from package directories to what a run has to do; decisions are pure functions.

May import: trust, attestation, state, graph, registry, package, settings, syntax, system, model, errors.
Must not know: builders, Celery, the command line.
Public: prepare (prepare_plan), make_plan (decide), Plan (plan), PushOptions (plan), make_run (make_run).
"""

"""Scheduling: plans become runs and Celery tasks; dependents start, lost work is dispatched again.

May import: planning, state, trust, attestation, builders, registry, package, model, system, settings, errors.
Must not know: how a package is built or published, how progress is shown.
Public: submit (submission), cancel (cancel), plan_retry (retry_run), keep_reconciling (reconciler).
"""

"""Watch: new commits of a repository are pushed, pull requests built, and both reported to the forge.

May import: trust, registry, settings, syntax, system, model, errors.
Must not know: Redis, Celery, the command line.
Public: Watcher (watcher), HeadHandler (handle_head), make_forge (forge), WebhookServer (webhooks).
"""

"""Administration of the stack in containers: create its secrets, add a machine, back up, restore.

Runs from a clone with Python's standard library alone, before anything is installed.

May import: errors, model, settings, system, trust.
Must not know: packages, builds, Redis.
Public: Site (site), make_all (make), add_worker (policy), renew (renew), pack and unpack (join), backup
and restore (backup).
"""

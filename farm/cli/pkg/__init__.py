"""The verbs of `farm pkg`: the flags of `linuxkit pkg`, translated into those of the farm's own verbs.

May import: cli, planning, local_build, builders, cache, registry, package, settings, syntax, model, errors.
Must not know: Redis, Celery, workers.
Public: pkg (verbs), pkg_verb (verbs), PkgRequest (verbs), PkgFlags (flags).
"""

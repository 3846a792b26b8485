"""The checks of `farm doctor`: one for each service, program and key that the farm needs.

May import: builders, registry, settings, state, system, trust, model, errors.
Must not know: the command line, packages.
Public: examine (checks), Finding (checks).
"""

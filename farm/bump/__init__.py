"""Bump: the references to packages whose tags change are rewritten in all files of a repository.

May import: graph, package, settings, syntax, system, model, errors.
Must not know: registries, builds, Redis, the command line.
Public: plan_bump (plan_bump), write_files (working_tree), commit_files (working_tree).
"""

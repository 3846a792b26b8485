"""Local builds: packages from the LinuxKit cache, else from the registry, else built on this machine.

May import: builders, cache, registry, package, settings, system, model, errors.
Must not know: Redis, workers, plans, the command line.
Public: LocalBuilder (local_builder), BuildOptions (options), LocalImage (options).
"""

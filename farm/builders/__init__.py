"""Builders: turn a build context into an image, with the BuildKit in a Docker Engine or with docker buildx.

May import: buildkit, registry, package, settings, syntax, system, model, errors.
Must not know: Redis, plans, Celery, the LinuxKit cache.
Public: Builder (builder), choose_builder (choice), EngineBuilder (engine_builder),
    BuildxBuilder (buildx_builder), Engine (docker_engine).
"""

"""Packages: build.yml, tags from git's hashes, build contexts, and the base images of a Dockerfile.

May import: syntax, system, settings, model, errors.
Must not know: registries, builds, Redis.
Public: read_packages (read_packages), TagOptions (tags), pack_context (pack_context),
    verify_context (verify_context), needs (dockerfile).
"""

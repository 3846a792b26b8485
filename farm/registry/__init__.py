"""Registry client: manifests, blobs and logins; publishing and looking up indexes.

May import: system, settings, model, errors.
Must not know: packages, builds, Redis, the LinuxKit cache.
Public: open_registry (client), Registry (client), look_up_all (published_images), IndexPublication
(publish_index), Index (index), attach (referrers), find (referrers), Credentials (credentials).
"""

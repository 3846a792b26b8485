"""LinuxKit cache: an OCI image layout that `linuxkit` and other tools read and write at the same time.

May import: registry, system, model, errors.
Must not know: packages, builds, settings, Redis.
Public: Cache (layout), find_image (named_images), add_images (named_images), pull_images (transfer), push_all
(transfer), load (archive_import), archive (archive_export), verify (maintenance).
"""

"""The LinuxKit cache: an OCI image layout that `linuxkit` and other tools read and write at the same time."""

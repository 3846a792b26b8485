"""A build farm for LinuxKit packages."""

__version__ = "0.1.0"

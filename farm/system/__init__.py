"""The operating system: locks, private directories, files, processes, and the names of user and machine.

May import: errors.
Must not know: settings, packages, services.
Public: locked (locks), temporary_directory (files), write_once (files), run (processes),
at_once (at_once).
"""

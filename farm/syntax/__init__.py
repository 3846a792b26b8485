"""Parsing and formatting: settings, durations, sizes, fields of YAML files, and words that are safe to print.

May import: errors.
Must not know: which settings and fields exist.
Public: Field (yaml_fields), Secret (setting_types), read_seconds (quantities), one_line (printable).
"""

"""Parsing and formatting: types of settings, durations, sizes, and fields of YAML files.

May import: errors.
Must not know: which settings and fields exist.
Public: Field (yaml_fields), Secret (setting_types), read_seconds (quantities), format_bytes (quantities).
"""

"""The farm's settings: farm.yml, then FARM_* variables, then flags; each overrides the one before.

This is the only package that reads the environment. A secret can be read from a file of its own:
`broker-file`, `FARM_BROKER_FILE`.

The farm.yml of the current directory may be a stranger's, who wrote the repository there. Only what concerns
packages alone is taken from it (`FROM_REPOSITORY`); everything else comes from the user or the machine.

May import: syntax, system, model, errors.
Must not know: what uses a setting.
Public: Settings (declaration), load_settings (sources), child_environment (environment).
"""

from farm.settings.declaration import FIELDS, FROM_REPOSITORY, SECRET_FILES, Settings, shown_value
from farm.settings.environment import (
    buildx_environment,
    child_environment,
    cosign_environment,
    environment,
    without_signing_keys,
)
from farm.settings.sources import CONFIG_VARIABLE, load_settings
from farm.syntax.setting_types import Secret

__all__ = [
    "CONFIG_VARIABLE",
    "FIELDS",
    "FROM_REPOSITORY",
    "SECRET_FILES",
    "Secret",
    "Settings",
    "buildx_environment",
    "child_environment",
    "cosign_environment",
    "environment",
    "load_settings",
    "shown_value",
    "without_signing_keys",
]

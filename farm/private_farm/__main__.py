"""Runs the supervisor; started by a command that needs a farm when no broker is set."""

from __future__ import annotations

import sys

from farm.private_farm.supervisor import Supervisor
from farm.settings import load_settings
from farm.syntax.log_format import log_to_stderr

if __name__ == "__main__":
    log_to_stderr()
    sys.exit(Supervisor(load_settings({})).run())

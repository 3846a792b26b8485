"""Runs the supervisor; started by a command that needs a farm when no broker is set."""

from __future__ import annotations

import logging
import sys

from farm.private_farm.supervisor import Supervisor
from farm.settings import load_settings

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(Supervisor(load_settings({})).run())

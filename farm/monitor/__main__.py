"""Flower with the farm's Celery application and the settings in its environment.

It is not started as `celery --app`, which imports the application from the current directory first.
"""

from __future__ import annotations

import sys

from farm.scheduling.celery_app import make_app
from farm.settings import load_settings
from farm.syntax.printable import SafeText

if __name__ == "__main__":
    sys.stderr = SafeText.around(sys.stderr.buffer)
    make_app(load_settings({})).start(["--quiet", "flower", *sys.argv[1:]])

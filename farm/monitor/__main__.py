"""Flower with the farm's Celery application, the settings in its environment, and its login everywhere.

It is not started as `celery --app`, which imports the application from the current directory first.
"""

from __future__ import annotations

import sys

from farm.monitor.flower_login import require_login_everywhere
from farm.scheduling.celery_app import make_app
from farm.settings import load_settings
from farm.syntax.printable import SafeText

if __name__ == "__main__":
    sys.stderr = SafeText.around(sys.stderr.buffer)
    require_login_everywhere()
    app = make_app(load_settings({}))
    app.start(["--quiet", "flower", *sys.argv[1:]])

"""The Celery application that Flower loads, with the settings in its environment."""

from __future__ import annotations

from farm.scheduling.celery_app import make_app
from farm.settings import load_settings

app = make_app(load_settings({}))

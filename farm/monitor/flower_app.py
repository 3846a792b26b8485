"""The Celery application as Flower loads it: in a process of its own, its settings in the environment."""

from __future__ import annotations

from farm.scheduling.celery_app import make_app
from farm.settings import load_settings

app = make_app(load_settings({}))

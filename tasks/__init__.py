"""The Celery tasks of the farm: each a page, over what farm/ can do."""

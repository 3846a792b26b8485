"""Flower's login before every answer: Flower has pages without one, such as /metrics and /healthcheck."""

from __future__ import annotations

from typing import Any

from flower.api import BaseApiHandler
from flower.views import BaseHandler
from tornado.web import HTTPError


def require_login_everywhere() -> None:
    """Let every page and every route of the API ask for the login first."""
    for kind in (BaseHandler, BaseApiHandler):
        _require_login(kind)


def _require_login(kind: type[Any]) -> None:
    prepare = kind.prepare

    def checked(self: Any) -> Any:
        if not self.current_user:
            raise HTTPError(401)
        return prepare(self)

    kind.prepare = checked

"""Patches: the fields of a record that a transition sets beside its state."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from farm.errors import FarmError
    from farm.model import ArchImage, Descriptor


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
"""The value of a field that a patch leaves as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """The fields that jobs and packages have in common.

    The last three belong to one state only: a transition that does not set them clears them.
    """

    token: str | Unset = UNSET
    lease: str | Unset = UNSET
    lost: int | Unset = UNSET
    waiting_for: str = ""
    resent: int = 0
    error: FarmError | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields that are set, each as a string or number.

        Redis' cjson does not keep nested values: it turns an empty array into an object.
        https://redis.io/docs/latest/develop/programmability/lua-api/#cjson-library
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _flat(value) for name, value in values.items() if value is not UNSET}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPatch(Patch):
    """What a transition writes to a job's record."""

    worker: str | Unset = UNSET
    task: str | Unset = UNSET
    started: float | Unset = UNSET
    image: ArchImage | Unset = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePatch(Patch):
    """What a transition writes to a package's record."""

    index: Descriptor | Unset | None = UNSET


def _flat(value: Any) -> str | float:
    if value is None:
        return ""
    return value if isinstance(value, str | int | float) else json.dumps(value.to_json())

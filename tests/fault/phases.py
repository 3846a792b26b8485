"""The phases of a push, each recognised by the bytes that a process sends to a service in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fault.rig import Backend
from tests.support.proxy.tripwire import Hold

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractContextManager

    from tests.fault.rig import Rig
    from tests.support.proxy.tripwire import Tripwire


@dataclass(frozen=True, slots=True)
class Phase:
    """A point at which a test stops a process; `pattern` may contain <package>, <arch> and <tag>."""

    name: str
    backend: Backend
    pattern: str
    hold: Hold
    again: str = ""
    """The pattern for a process that takes over, if it differs."""

    def at(self, *, package: str = "", arch: str = "", tag: str = "", again: bool = False) -> str:
        """The pattern for one package, architecture and tag; `again` for a process that takes over."""
        filled = (again and self.again) or self.pattern
        for name, value in {"package": package, "arch": arch, "tag": tag}.items():
            filled = filled.replace(f"<{name}>", value)
        return filled

    def trip(
        self,
        rig: Rig,
        reference: str,
        arch: str = "",
        *,
        again: bool = False,
        hold: Hold | None = None,
        processes: Collection[str] = (),
    ) -> AbstractContextManager[Tripwire]:
        """A tripwire at this phase of the package NAME:TAG."""
        package, _, tag = reference.rpartition("/")[2].partition(":")
        pattern = self.at(package=package, arch=arch, tag=tag, again=again)
        return rig.tripwire(self.backend, pattern, hold or self.hold, processes)


def _record(field: str, state: str) -> str:
    """The transition of a record, in the request to the Lua script: its field, and the state in its patch."""
    return rf'"field": "{field}", .{{0,400}}"patch": \{{"state": "{state}"'


_JOB, _PACKAGE = r"J \S*/<package> <arch>", r"P \S*/<package>"
TAKEN = Phase(
    "message taken, not leased", Backend.REDIS, r"lease:\S*/<package>:<tag>-<arch>\}:queue", Hold.BEFORE
)
LEASED = Phase("leased", Backend.REDIS, _record(_JOB, "leased"), Hold.AFTER)
FETCHED = Phase("context fetched", Backend.REDIS, _record(_JOB, "building"), Hold.BEFORE)
BUILDING = Phase(
    "building", Backend.REDIS, r"(?s)log:\S*/<package>:<arch>\r\n.{0,2000}at work on", Hold.NOTHING
)
PUSHING = Phase("pushing", Backend.REGISTRY, r"PUT /v2/\S*/manifests/<tag>-<arch> ", Hold.BEFORE)
PUSHED = Phase("pushed, not recorded", Backend.REDIS, _record(_JOB, "built"), Hold.BEFORE)
BUILD_PHASES = (LEASED, FETCHED, BUILDING, PUSHING, PUSHED)

_CALLBACK = r"(?s)LPUSH\r\n\$\d+\r\npublish.{0,8000}/<package>:\w+ index"
CLAIMED = Phase("chord claimed, callback not sent", Backend.REDIS, _CALLBACK, Hold.BEFORE)

ASSEMBLING = Phase("assembling", Backend.REGISTRY, r"PUT /v2/\S*/manifests/<tag> ", Hold.BEFORE)
UNSIGNED = Phase(
    "pushed, unsigned",
    Backend.REGISTRY,
    r"PUT /v2/\S*/manifests/<tag> ",
    Hold.AFTER,
    # An index that exists is read, and not pushed again.
    again=r"GET /v2/\S*/manifests/<tag> ",
)
SIGNING = Phase("signing", Backend.NOTARY, r"POST /v2/\S*/<package>/_trust/tuf/ ", Hold.BEFORE)
SIGNED = Phase("signed, not recorded", Backend.REDIS, _record(_PACKAGE, "signed"), Hold.BEFORE)
PUBLISH_PHASES = (ASSEMBLING, UNSIGNED, SIGNING, SIGNED)
RECORDED = Phase("recorded, dependents not started", Backend.REDIS, _record(_PACKAGE, "signed"), Hold.AFTER)

NUMBERED = Phase("run numbered, not stored", Backend.REDIS, r"INCRBY\r\n\$\d+\r\nfarm:run-number", Hold.AFTER)
STORED = Phase(
    "run stored, not started",
    Backend.REDIS,
    r"(?s)ZADD\r\n\$\d+\r\nfarm:\{[\w-]+\}:due\r\n.{0,400}EXEC\r\n",
    Hold.AFTER,
)
STARTED = Phase("package started, nothing sent", Backend.REDIS, _record(_PACKAGE, "building"), Hold.AFTER)
HALF_SENT = Phase("chord sent by half", Backend.REDIS, r"LPUSH\r\n\$\d+\r\nbuild\.arm64", Hold.BEFORE)
SENT = Phase(
    "chord sent, not recorded",
    Backend.REDIS,
    r"(?s)EVALSHA\r\n.{0,80}\r\n\$1\r\n1\r\n\$\d+\r\nfarm:\{[\w-]+\}:due",
    Hold.BEFORE,
)
FOLLOWING = Phase("following", Backend.REDIS, r"XREAD\r\n", Hold.NOTHING)
SUBMISSION_PHASES = (NUMBERED, STORED, STARTED, HALF_SENT, SENT, FOLLOWING)

"""The phases of a package's way, by the bytes in which each shows itself between a process and a service."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fault.rig import Way
from tests.fault.tripwire import Hold


@dataclass(frozen=True, slots=True)
class Phase:
    """A point at which a process is caught; `pattern` may name {package}, {arch} and {tag}."""

    name: str
    way: Way
    pattern: str
    hold: Hold

    def at(self, *, package: str = "", arch: str = "", tag: str = "") -> str:
        """The pattern for one package, architecture, and tag."""
        filled = self.pattern
        for name, value in {"package": package, "arch": arch, "tag": tag}.items():
            filled = filled.replace(f"<{name}>", value)
        return filled


def _job(state: str) -> str:
    """A job's record moves: `J PACKAGE ARCH`, and in its patch the state."""
    return rf'(?s)J \S*/<package> <arch>\r\n.{{0,400}}"state": "{state}"'


def _package(state: str) -> str:
    return rf'(?s)P \S*/<package>\r\n.{{0,400}}"state": "{state}"'


LEASED = Phase("leased", Way.REDIS, _job("leased"), Hold.AFTER)
FETCHED = Phase("context fetched", Way.REDIS, _job("building"), Hold.BEFORE)
BUILDING = Phase("building", Way.REDIS, r"(?s)log:\S*/<package>:<arch>\r\n.{0,2000}at work on", Hold.NOT)
PUSHING = Phase("pushing", Way.REGISTRY, r"PUT /v2/\S*/manifests/<tag>-<arch> ", Hold.BEFORE)
PUSHED = Phase("pushed, not recorded", Way.REDIS, _job("built"), Hold.BEFORE)
BUILD_PHASES = (LEASED, FETCHED, BUILDING, PUSHING, PUSHED)

CLAIMED = Phase("chord claimed, callback not sent", Way.REDIS, r"LPUSH\r\n\$\d+\r\npublish", Hold.BEFORE)

ASSEMBLING = Phase("assembling", Way.REGISTRY, r"PUT /v2/\S*/manifests/<tag> ", Hold.BEFORE)
UNSIGNED = Phase("pushed, unsigned", Way.REGISTRY, r"PUT /v2/\S*/manifests/<tag> ", Hold.AFTER)
SIGNING = Phase("signing", Way.NOTARY, r"POST /v2/\S*/<package>/_trust/tuf/ ", Hold.BEFORE)
SIGNED = Phase("signed, not recorded", Way.REDIS, _package("signed"), Hold.BEFORE)
PUBLISH_PHASES = (ASSEMBLING, UNSIGNED, SIGNING, SIGNED)

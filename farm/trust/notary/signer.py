"""Notary as a Signer: one delegation key, and the notary server of each registry."""

from __future__ import annotations

import shlex
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import TrustDeniedError, combine
from farm.registry.credentials import Credentials
from farm.system.processes import TIE_PROGRAM
from farm.system.programs import require
from farm.trust.notary.client import NotaryServer, command
from farm.trust.notary.configure import (
    admin_trust_dir,
    notary_server,
    require_server,
    require_settings,
    signing_key,
)
from farm.trust.notary.keys import check_key
from farm.trust.notary.pins import read_pins
from farm.trust.notary.sign_targets import addhash_arguments, sign_targets
from farm.trust.notary.verify import read_signatures

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.model import Reference
    from farm.settings import Settings
    from farm.trust.signer import AttestedImage, SignedName, SignTarget


@dataclass(frozen=True, slots=True)
class NotarySigner:
    """The Signer that drives the notary client; a repository's name is its GUN."""

    settings: Settings
    credentials: Credentials | None = None

    def check_settings(self, names: Iterable[str], *, to_sign: bool) -> None:
        """Make sure that a server is set for each GUN, and `to_sign`, a key that can be read."""
        require_settings(self.settings, names, to_sign=to_sign)

    def ready(self, references: Iterable[Reference]) -> dict[str, SignedName]:
        """Make sure that the key opens, notary is installed, and the key is allowed for each GUN."""
        key = signing_key(self.settings)
        require_server(self.settings)
        require("notary", *TIE_PROGRAM)
        names = [reference.name for reference in references]
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(self._read, names, to_sign=True)
            own = check_key(key, timeout=self.settings.trust_timeout)
        found = reading.result()
        refusals = [name.refusal for name in found.values() if name.refusal]
        if refusals:
            raise combine(refusals)
        _require_allowed(key.path, own, found.values())
        return found

    def check_key(self, names: Iterable[SignedName]) -> None:
        """Make sure that the key opens, and is allowed for each GUN that allows any."""
        _require_allowed(*self._open_key(), names)

    def _open_key(self) -> tuple[Path, bytes]:
        key = signing_key(self.settings)
        return key.path, check_key(key, timeout=self.settings.trust_timeout)

    def sign(self, targets: Iterable[SignTarget]) -> None:
        """Sign tags, with one publication for each GUN."""
        by_gun: dict[str, list[SignTarget]] = defaultdict(list)
        for target in targets:
            by_gun[target.name].append(target)
        key = signing_key(self.settings)
        for gun, own in by_gun.items():
            sign_targets(own, key, self._server(gun))

    def attest(self, images: Iterable[AttestedImage]) -> None:
        """Do nothing: notary signs tags, and the index that it signs names its images."""

    def signed(self, references: Iterable[Reference], *, to_sign: bool = False) -> dict[str, SignedName]:
        """What is signed now: all tags of each GUN. GUNs that share a server and a login are read at once."""
        return self._read((reference.name for reference in references), to_sign=to_sign)

    def _read(self, names: Iterable[str], *, to_sign: bool = False) -> dict[str, SignedName]:
        by_server: dict[NotaryServer, list[str]] = defaultdict(list)
        for gun in dict.fromkeys(names):
            by_server[self._server(gun)].append(gun)
        found: dict[str, SignedName] = {}
        for server, guns in by_server.items():
            found |= read_signatures(guns, server, self.settings.signing_role, to_sign=to_sign)
        return found

    def describe(self, name: str) -> str:
        """The URL of the notary server that answers for a GUN, and the root key that is pinned for it."""
        server = notary_server(self.settings, name)
        ids = read_pins(server.pins).ids(name)
        pinned = ", ".join(one[:12] for one in ids) or f"no root key in {server.pins}"
        return f"{server.url}, pinned: {pinned}"

    def command_line(self, target: SignTarget) -> str:
        """The notary command that signs a target with the keys in docker's trust directory."""
        arguments = addhash_arguments(target, self.settings.signing_role, publish=True)
        server = notary_server(self.settings, target.name)
        return shlex.join(command(server, admin_trust_dir(self.settings), arguments))

    def _server(self, gun: str) -> NotaryServer:
        settings, credentials = self.settings, self.credentials
        if credentials is None:
            credentials = Credentials.load(settings.docker_config, settings.registry_creds)
        return notary_server(settings, gun, credentials.login_for(gun.partition("/")[0]))


def _require_allowed(path: Path, own: bytes, names: Iterable[SignedName]) -> None:
    refused = [one.name for one in names if one.allowed and not any(own in der for der in one.allowed)]
    if refused:
        raise TrustDeniedError(
            f"{path}: the key is not allowed to sign for {', '.join(refused)}",
            hint="the administrator allows it with `farm trust init`",
        )

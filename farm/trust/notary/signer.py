"""Notary as a Signer: one delegation key, and the notary server of each registry."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.registry.credentials import Credentials
from farm.system.processes import TIE_PROGRAM, require
from farm.trust.notary.client import NotaryServer, command
from farm.trust.notary.configure import admin_trust_dir, notary_server, signing_key
from farm.trust.notary.keys import check_key
from farm.trust.notary.sign_targets import addhash_arguments, sign_targets
from farm.trust.notary.verify import read_signatures, require_initialised

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.registry.credentials import Login
    from farm.settings import Settings
    from farm.trust.signer import Signature, SignTarget


@dataclass(frozen=True, slots=True)
class NotarySigner:
    """The Signer that drives the notary client; a repository's name is its GUN."""

    settings: Settings
    credentials: Credentials | None = None

    def ready(self, names: Iterable[str]) -> None:
        """Make sure that the key opens, notary is installed, and the server knows each GUN."""
        timeout = self.settings.trust_timeout
        check_key(signing_key(self.settings), timeout=timeout)
        require("notary", *TIE_PROGRAM)
        for gun in dict.fromkeys(names):
            require_initialised(gun, self._server(gun), timeout=timeout, login=self._login(gun))

    def sign(self, targets: Iterable[SignTarget]) -> None:
        """Sign tags, with one publication for each GUN."""
        by_gun: dict[str, list[SignTarget]] = defaultdict(list)
        for target in targets:
            by_gun[target.name].append(target)
        key, timeout = signing_key(self.settings), self.settings.trust_timeout
        for gun, own in by_gun.items():
            sign_targets(own, key, self._server(gun), timeout=timeout, login=self._login(gun))

    def signed(self, names: Iterable[str]) -> dict[str, dict[str, Signature]]:
        """What is signed now; all GUNs that share a server and a login are read at once."""
        groups: dict[tuple[NotaryServer, Login | None], list[str]] = defaultdict(list)
        for gun in dict.fromkeys(names):
            groups[self._server(gun), self._login(gun)].append(gun)
        role, timeout = self.settings.signing_role, self.settings.trust_timeout
        found: dict[str, dict[str, Signature]] = {}
        for (server, login), guns in groups.items():
            found |= read_signatures(guns, server, timeout=timeout, login=login, role=role)
        return found

    def describe(self, name: str) -> str:
        """The URL of the notary server that answers for a GUN."""
        return self._server(name).url

    def command_line(self, target: SignTarget) -> list[str]:
        """The notary command that signs a target with the keys in docker's trust directory."""
        arguments = addhash_arguments(target, self.settings.signing_role, publish=True)
        return command(self._server(target.name), admin_trust_dir(self.settings), arguments)

    def _server(self, gun: str) -> NotaryServer:
        return notary_server(self.settings, gun)

    def _login(self, gun: str) -> Login | None:
        settings, credentials = self.settings, self.credentials
        if credentials is None:
            credentials = Credentials.load(settings.docker_config, settings.registry_creds)
        return credentials.login_for(gun.partition("/")[0])

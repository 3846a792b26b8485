"""Sign what a publisher has published, with the key that its settings name."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.trust.notary.configure import notary_server, signing_key
from farm.trust.notary.keys import check_key
from farm.trust.notary.sign import SignTarget, sign_all
from farm.trust.notary.verify import require_initialised

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.model import Descriptor, Reference
    from farm.registry.credentials import Login
    from tasks.worker_context import WorkerContext


@dataclass(frozen=True, slots=True)
class Signer:
    """The publisher's key and notary server."""

    context: WorkerContext

    def check(self, references: Iterable[Reference]) -> None:
        """Check before anything is pushed that it can be signed.

        Raises:
            TrustError: the key cannot be opened, or a repository was never initialised for signing.
        """
        settings = self.context.settings
        check_key(signing_key(settings), timeout=settings.trust_timeout)
        for gun in dict.fromkeys(reference.name for reference in references):
            server, login = notary_server(settings, gun), self._login(gun)
            require_initialised(gun, server, timeout=settings.trust_timeout, login=login)

    def sign(self, published: Mapping[Reference, Descriptor]) -> None:
        """Sign the indexes that were published under these tags, with one publication for each repository.

        Raises:
            TrustError: a signature could not be made, or cannot be read back.
        """
        settings = self.context.settings
        groups: dict[str, list[SignTarget]] = defaultdict(list)
        for reference, descriptor in published.items():
            groups[reference.name].append(SignTarget.of(reference, descriptor))
        for gun, targets in groups.items():
            server, login = notary_server(settings, gun), self._login(gun)
            sign_all(targets, signing_key(settings), server, timeout=settings.trust_timeout, login=login)

    def _login(self, gun: str) -> Login | None:
        return self.context.credentials.login_for(gun.partition("/")[0])

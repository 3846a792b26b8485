"""Refused look-ups: when 401 or 403 means that a tag does not exist.

Some registries refuse to say that a tag or repository does not exist, although the login may push it:
Artifactory behind a virtual repository, for one. An error is never taken for "not there" without proof:

- A look-up of a tag that is refused twice counts as absence only where the registry lets the same login
  begin an upload to that repository. Who may only read gets the error; a refused digest is always one.
- Before such a tag is written, the manifest is stored by its digest and read again, and the tag is looked up
  once more. A login that may push but not read ends there, since what it was refused may exist; so does a
  write to a tag that has appeared. No tag is overwritten unseen.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin

from farm.errors import RegistryDeniedError, RegistryError, RegistryUnavailableError
from farm.registry.transport import PUSH, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.model import Reference
    from farm.registry.http_exchange import Response

T = TypeVar("T")

log = logging.getLogger(__name__)


class Refusals:
    """The tags whose refused look-up counts as absence; safe to share between threads."""

    def __init__(self) -> None:
        self._tags: set[Reference] = set()
        self._names: set[str] = set()
        """Their repositories."""

    def __contains__(self, reference: Reference) -> bool:
        return reference in self._tags

    def forget(self, reference: Reference) -> None:
        """Note that a look-up was answered."""
        self._tags.discard(reference)

    def resolve(
        self,
        reference: Reference,
        refusal: RegistryDeniedError,
        ask: Callable[[], T | None],
        send: Callable[[Request], Response],
    ) -> T | None:
        """The answer to a refused look-up: that of a second one, or None for absence, or the error."""
        if reference.digest or not self._accepts_uploads(reference, send):
            raise refusal
        with suppress(RegistryDeniedError):
            # A token may have expired, and the upload was granted another one.
            return ask()
        if reference.name not in self._names:
            log.warning(
                "%s: %s; it accepts uploads, so a tag that it refuses to look up counts as not published",
                reference.name,
                refusal.message,
            )
        self._names.add(reference.name)
        self._tags.add(reference)
        return None

    def _accepts_uploads(self, reference: Reference, send: Callable[[Request], Response]) -> bool:
        """Whether an upload to the repository may begin; it is cancelled at once."""
        if reference.name in self._names:
            return True
        start = Request.to(reference, "POST", "blobs/uploads/", PUSH)
        try:
            upload = send(start)
        except RegistryUnavailableError:
            raise
        except RegistryError:
            return False
        with suppress(RegistryError, ValueError):
            # https://github.com/opencontainers/distribution-spec/blob/main/spec.md#cancelling-a-push
            path = urljoin(upload.url, upload.headers.get("Location", ""))
            send(start._replace(method="DELETE", path=path))
        return True

    def check(self, reference: Reference, read: Callable[[], object], ask: Callable[[], object]) -> None:
        """Prove that a tag does not exist: what was just stored can be read, and the tag still cannot."""
        try:
            read()
        except RegistryDeniedError as error:
            raise RegistryDeniedError(
                f"{reference.familiar} is not changed: the login may push, but not read what is there",
                hint=f"docker login {reference.registry}, with an account that may read, too",
            ) from error
        if ask() is not None:
            raise RegistryUnavailableError(
                f"{reference.familiar} is not changed: it exists, although its look-up was refused before",
                hint="try again",
            )

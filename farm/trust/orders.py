"""Build orders: signed by a maintainer when a run is submitted, verified by all who act upon it."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import FarmError, InputError, NotUnderstoodError, OrderError
from farm.model.order import Order, OrderedRun, SignedOrder, make_order, read_part
from farm.trust import ssh_signatures
from farm.trust.places import order_key_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.model import PackageWork, Run
    from farm.settings import Settings
    from farm.trust.policy import Maintainer, Policy

ORDER_LIFE = 30 * 86400.0
"""Seconds for which an order may be carried out: long after its run has ended or expired."""
KNOWN_ORDERS = 8
"""Orders that a process remembers: its jobs are of few runs, and an order may have a megabyte."""
_CLOCK_SKEW = 600.0
"""Seconds by which the clock of a maintainer may be ahead."""
_NONCE = 16
"""Bytes of the nonce, without which two orders of one second could be the same."""
_PUSH_AGAIN = "push again; if that does not help, somebody changes what is stored in Redis"


class VerifiedOrder(NamedTuple):
    """An order that a maintainer signed who is in the policy."""

    order: Order
    digest: str
    """sha256:HEX of the document."""
    maintainer: Maintainer


def sign_run(run: Run, settings: Settings) -> OrderedRun:
    """The run with its signed order.

    Raises:
        SettingsError: no key is set.
        TrustDeniedError: the key cannot sign.
    """
    order, parts = make_order(run, secrets.token_hex(_NONCE))
    document = order.to_bytes()
    signature = ssh_signatures.sign(document, order_key_path(settings), timeout=settings.trust_timeout)
    return OrderedRun(run, SignedOrder(document, signature), parts)


def verify_order(run: str, signed: SignedOrder, policy: Policy, now: float) -> VerifiedOrder:
    """The order of a run, if a maintainer of the policy has signed it, and not too long ago.

    Raises:
        OrderError: it is not signed by a maintainer, expired, of another run, or malformed.
        NotUnderstoodError: a newer farm has written it.
    """
    keys = tuple(maintainer.key for maintainer in policy.maintainers)
    try:
        key = _signer_of(signed, keys)
    except FarmError as error:
        raise OrderError(
            f"the order of run {run} is not signed by a maintainer: {error.message}",
            hint="`farm policy show` lists them",
        ) from error
    order, digest = _opened(signed)
    maintainer = policy.maintainer_of(key)
    if maintainer is None:
        raise OrderError(
            f"the order of run {run} is not signed by a maintainer", hint="`farm policy show` lists them"
        )
    if order.run != run:
        raise OrderError(f"run {run} has the order of run {order.run}", hint=_PUSH_AGAIN)
    if order.created > now + _CLOCK_SKEW:
        raise OrderError(
            f"the order of run {run} is from the future",
            hint="set the clock of the machine that submitted it",
        )
    if order.created < now - ORDER_LIFE:
        raise OrderError(f"the order of run {run} has expired", hint="push again")
    return VerifiedOrder(order, digest, maintainer)


@lru_cache(maxsize=KNOWN_ORDERS)
def _opened(signed: SignedOrder) -> tuple[Order, str]:
    """What an order says, and its digest."""
    return Order.from_bytes(signed.document), signed.digest


@lru_cache(maxsize=KNOWN_ORDERS)
def _signer_of(signed: SignedOrder, keys: tuple[str, ...]) -> str:
    """The key that signed an order; the jobs of a run share it, so it is checked once."""
    return ssh_signatures.verify(signed.document, signed.signature, keys)


def verify_part(verified: VerifiedOrder, package: str, part: bytes, policy: Policy) -> PackageWork:
    """What an order says of one package, if its maintainer may order that.

    Raises:
        OrderError: the part is not the one that was signed.
        PolicyError: the maintainer may not order it.
        NotUnderstoodError: a newer farm has written it.
    """
    order = verified.order
    try:
        work = read_part(order, package, part)
    except NotUnderstoodError:
        raise
    except InputError as error:
        raise OrderError(f"{order.run}: {error.message}", hint=_PUSH_AGAIN) from error
    check_rights(policy, verified.maintainer, [work], at=order.created)
    return work


def check_rights(policy: Policy, maintainer: Maintainer, works: Iterable[PackageWork], *, at: float) -> None:
    """Raise a PolicyError if a maintainer may not order one of these works at that time."""
    for release in (False, True):
        names = {
            reference.name
            for work in works
            if _needs_release(work) is release
            for reference in (work.reference, *(copy.source for copy in work.copies))
        }
        if names:
            policy.may_order(maintainer, sorted(names), release=release, at=at)


def _needs_release(work: PackageWork) -> bool:
    """Whether a work gives a tag to something that no worker has built for that tag."""
    return bool(work.adopted) or any(copy.target != copy.source and not copy.arch for copy in work.copies)

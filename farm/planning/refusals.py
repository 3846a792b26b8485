"""What a push would refuse, as far as it can be known before anything is built.

`farm plan` prints it and `farm push` raises it, so neither can differ from the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.planning.plan import is_signed
from farm.trust.signer import make_signer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farm.model import Package
    from farm.planning.plan import Plan, PushOptions
    from farm.settings import Settings


def with_refusals(
    plan: Plan, dockerfiles: Mapping[str, str], settings: Settings, of_bases: Iterable[FarmError] = ()
) -> Plan:
    """The plan with what a push of it would refuse: contexts of what is to be built, bases, then signatures.

    Of a plan that has a refusal already, the key is missing.

    Whether the key opens is known only where this machine publishes, on a private farm. Elsewhere only the
    publisher has it, and the signer says no more than whether any key may sign. `dockerfiles` are texts by
    package name.
    """
    packages = [item.package for item in plan.packages if item.build]
    warnings: tuple[str, ...] = ()
    refusals: list[FarmError] = []
    if packages:
        # A push with nothing to build starts faster without what reads files.
        from farm.planning.file_refusals import refused_files  # noqa: PLC0415

        warnings, refusals = refused_files(packages, dockerfiles)
    refusals += of_bases
    refusals += (error for item in plan.packages if not item.force for error in item.published.overwritten)
    refusals += (*_rights(plan, settings), *_signatures(plan, settings))
    signings = {one.name: one for item in plan.packages if (one := item.published.signing)}.values()
    warnings += tuple(warning for signing in signings for warning in signing.warnings)
    return plan._replace(warnings=(*plan.warnings, *warnings), refusals=(*plan.refusals, *refusals))


def _rights(plan: Plan, settings: Settings) -> Iterator[FarmError]:
    """What the maintainer of this machine may not order; a private farm makes its key and policy itself."""
    more = [*plan.releases, *(item for item in plan.work if item.adopted)]
    try:
        if not plan.up_to_date:
            require_rights([item.package for item in plan.work], settings)
        if more:
            require_rights([item.package for item in more], settings, release=True)
    except FarmError as error:
        yield error


def require_rights(packages: Iterable[Package], settings: Settings, *, release: bool = False) -> None:
    """Make sure that the maintainer of this machine may order these packages, and release or adopt them.

    A private farm makes its key and policy itself.

    Raises:
        SettingsError, TrustDeniedError: as `check_own_rights`.
    """
    if settings.broker is not None or settings.policy is not None:
        # A push with nothing to order starts faster without what reads orders.
        from farm.trust.own_rights import check_own_rights  # noqa: PLC0415

        names = {package.reference.name for package in packages}
        check_own_rights(settings, sorted(names), release=release)


def require_signing(
    packages: Iterable[Package], settings: Settings, options: PushOptions, *, to_sign: bool = True
) -> None:
    """Make sure, before anybody is asked, that the settings name what signing these packages needs.

    The key is needed where this machine publishes, on a private farm; what reads signatures, everywhere.

    Raises:
        TrustDeniedError: something is missing; the hint says how to make it.
    """
    names = {package.reference.name for package in packages if is_signed(package, options)}
    if names:
        here = to_sign and settings.broker is None and not options.images_only
        make_signer(settings).check_settings(sorted(names), to_sign=here)


def _signatures(plan: Plan, settings: Settings) -> Iterator[FarmError]:
    items = [item for item in plan.packages if item.needs_signature]
    names = {one.name: one for item in items if (one := item.published.signing)}.values()
    yield from (name.refusal for name in names if name.refusal)
    if names and settings.broker is None and not plan.refusals:
        try:
            make_signer(settings).check_key(names)
        except FarmError as error:
            yield error

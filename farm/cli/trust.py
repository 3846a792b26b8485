"""farm trust: an administrator's verbs, which make signing keys and prepare names for signing."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, print_json, with_settings
from farm.errors import InputError, SettingsError, TrustDeniedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.settings import Settings

_NAMES = "a name is HOST/REPOSITORY, such as docker.io/linuxkit/foo; a package directory has a build.yml"


@click.group("trust")
def command() -> None:
    """Make signing keys, and prepare names for signing. Builds never do either."""


@command.command("key")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@with_settings()
def key(settings: Settings, directory: Path) -> None:
    """Make a delegation key in DIRECTORY: delegation.pem for publishers, delegation.crt for `trust init`.

    Its passphrase is FARM_SIGNING_PASSPHRASE, or one that is made now and printed once.
    """
    from farm.settings import Secret  # noqa: PLC0415 - beside its one use
    from farm.trust.notary.delegation import generate_delegation_key  # noqa: PLC0415

    # Path.exists raises where the directory is closed to us, which the making of the key then tells.
    if settings.signing_passphrase is None and os.path.exists(directory / "delegation.pem"):  # noqa: PTH110
        raise TrustDeniedError(f"{directory / 'delegation.pem'} is there already", hint="nothing was changed")
    passphrase = settings.signing_passphrase or Secret(secrets.token_urlsafe(24))
    made = generate_delegation_key(directory, passphrase)
    click.echo(f"key          {made.key}   (publishers: signing-key)")
    click.echo(f"certificate  {made.certificate}   (farm trust init --certificate)")
    if settings.signing_passphrase is None:
        click.echo(f"passphrase   {passphrase.reveal()}   (shown this once: signing-passphrase)")


@command.command("init")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    help="Of the delegation key; by default beside signing-key.",
)
@json_option
@with_settings("notary_server", "notary_ca", "signing_key", "org")
def init(settings: Settings, names: tuple[str, ...], certificate: Path | None, as_json: bool) -> None:
    """Prepare NAMEs, such as docker.io/linuxkit/foo or a package directory, so that the key may sign them.

    A name begins with its registry. What is no name and no package directory is refused, and nothing made.

    Done once for each name, with the root key's passphrase (FARM_ROOT_PASSPHRASE). Root and targets keys are
    kept in docker's trust directory. Done again, it changes nothing.
    """
    from farm.registry.connect import open_registry  # noqa: PLC0415 - the registry client is imported when used
    from farm.trust.notary import configure  # noqa: PLC0415
    from farm.trust.notary.initialise import initialise  # noqa: PLC0415

    if settings.root_passphrase is None:
        raise SettingsError("the root key's passphrase is not set", hint="set FARM_ROOT_PASSPHRASE")
    certificate = certificate or (settings.signing_key and settings.signing_key.with_suffix(".crt"))
    if certificate is None:
        raise InputError("no certificate is named", hint="add --certificate delegation.crt")
    guns = guns_of(names, settings.org)
    done = []
    with open_registry(settings) as registry:
        for gun in guns:
            click.echo("" if as_json else f"{gun}  ", nl=False)
            outcome = "not prepared"
            try:
                steps = initialise(
                    gun,
                    certificate,
                    configure.notary_server(settings, gun),
                    trust_dir=configure.admin_trust_dir(settings),
                    root_passphrase=settings.root_passphrase,
                    role=settings.signing_role,
                    login=registry.credentials.login_for(gun.partition("/")[0]),
                    timeout=settings.trust_timeout,
                )
                outcome = ", ".join(steps) if steps else "was ready"
                done.append({"name": gun, "steps": list(steps)})
            finally:
                click.echo("" if as_json else f"{outcome}\n", nl=False)
    if as_json:
        print_json(done)


def guns_of(names: Sequence[str], org: str | None) -> list[str]:
    """Names as they stand; package directories as the name that their build.yml gives.

    Raises:
        InputError: something is neither; a mistyped directory is never taken for a name.
    """
    from farm.package.read_packages import read_packages  # noqa: PLC0415 - git is imported when it is used
    from farm.package.tag_options import TagOptions  # noqa: PLC0415

    directories = [name for name in names if (Path(name) / "build.yml").is_file()]
    others = {name: _gun(name) for name in names if name not in directories}
    packages = read_packages(directories, TagOptions(org=org)) if directories else []
    made = {Path(package.directory).resolve(): package.reference.name for package in packages}
    return list(dict.fromkeys(others.get(name) or made[Path(name).resolve()] for name in names))


def _gun(name: str) -> str:
    from farm.model import Reference  # noqa: PLC0415 - beside its one use
    from farm.model.reference import is_host  # noqa: PLC0415

    if Path(name).exists():
        raise InputError(f"{name}: is no package directory: it has no build.yml", hint=_NAMES)
    try:
        gun = Reference.parse(name).name
    except InputError:
        gun = ""
    host, slash, _ = name.partition("/")
    if not (gun and slash and is_host(host)):
        raise InputError(f"{name}: is neither a package directory nor a name with its registry", hint=_NAMES)
    return gun

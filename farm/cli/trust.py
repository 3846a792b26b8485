"""farm trust: the administrator's verbs, which create signing keys and prepare names for signing."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli.gun_names import guns_of
from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json
from farm.errors import InputError, SettingsError, TrustDeniedError

if TYPE_CHECKING:
    from farm.registry.client import Registry
    from farm.settings import Secret, Settings


@click.group("trust")
def command() -> None:
    """Create signing keys, and prepare names for signing. Builds never do either."""


@command.command("key")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@with_settings()
def key(settings: Settings, directory: Path) -> None:
    """Create a delegation key in DIRECTORY: delegation.pem for publishers, delegation.crt for `trust init`.

    Its passphrase is FARM_SIGNING_PASSPHRASE; if it is not set, one is generated and printed once.
    """
    from farm.settings import Secret
    from farm.trust.notary.delegation import generate_delegation_key

    pem = directory / "delegation.pem"
    # Path.exists raises where the directory cannot be searched; creating the key reports that.
    if settings.signing_passphrase is None and os.access(pem, os.F_OK):
        raise TrustDeniedError(f"{pem} exists already", hint="nothing was changed")
    passphrase = settings.signing_passphrase or Secret(secrets.token_urlsafe(24))
    created = generate_delegation_key(directory, passphrase)
    click.echo(f"key          {created.key}   (publishers: signing-key)")
    click.echo(f"certificate  {created.certificate}   (farm trust init --certificate)")
    if settings.signing_passphrase is None:
        click.echo(f"passphrase   {passphrase.reveal()}   (shown only once: signing-passphrase)")


@command.command("init")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    help="Certificate of the delegation key. Default: the .crt file beside signing-key.",
)
@json_option
@with_settings("notary_server", "notary_ca", "signing_key", "org")
def init(settings: Settings, names: tuple[str, ...], certificate: Path | None, as_json: bool) -> None:
    """Prepare each NAME, such as docker.io/linuxkit/foo or a package directory, for signing with the key.

    A name includes its registry. If an argument is neither a name nor a package directory, nothing is
    prepared.

    Do this once for each name, with the passphrase of the root key (FARM_ROOT_PASSPHRASE). The root and
    targets keys are kept in docker's trust directory. Repeating it changes nothing.
    """
    from farm.registry.client import open_registry

    if settings.root_passphrase is None:
        raise SettingsError("the root key's passphrase is not set", hint="set FARM_ROOT_PASSPHRASE")
    certificate = certificate or (settings.signing_key and settings.signing_key.with_suffix(".crt"))
    if certificate is None:
        raise InputError("no certificate is given", hint="add --certificate delegation.crt")
    guns = guns_of(names, settings.org)
    done = []
    with open_registry(settings) as registry:
        for gun in guns:
            click.echo("" if as_json else f"{gun}  ", nl=False)
            result = "not prepared"
            try:
                steps = _initialise(gun, certificate, registry, settings, settings.root_passphrase)
                result = ", ".join(steps) if steps else "was ready"
                done.append({"name": gun, "steps": list(steps)})
            finally:
                click.echo("" if as_json else f"{result}\n", nl=False)
    if as_json:
        print_json(done)


def _initialise(
    gun: str, certificate: Path, registry: Registry, settings: Settings, root_passphrase: Secret
) -> tuple[str, ...]:
    """Prepare one name; returns the steps that were taken, none where it was ready."""
    from farm.trust.notary import configure
    from farm.trust.notary.initialise import initialise

    return tuple(
        initialise(
            gun,
            certificate,
            configure.notary_server(settings, gun, registry.credentials.login_for(gun.partition("/")[0])),
            trust_dir=configure.admin_trust_dir(settings),
            root_passphrase=root_passphrase,
            role=settings.signing_role,
        )
    )

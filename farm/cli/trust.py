"""farm sign, and the administrator's farm trust, which creates keys and prepares names for signing."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_answer, say
from farm.cli.trust_init import init, pin
from farm.errors import InputError, TrustDeniedError
from farm.model import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.registry.client import Registry
    from farm.settings import Secret, Settings
    from farm.trust.signer import SignedName, Signer, SignTarget


@click.group("trust")
def trust() -> None:
    """Create signing keys, and prepare names for signing. Builds never do either."""


@trust.command("key")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--cosign", is_flag=True, help="Create a key pair of cosign: cosign.key and cosign.pub.")
@with_settings()
def key(settings: Settings, directory: Path, cosign: bool) -> None:
    """Create a delegation key in DIRECTORY: delegation.pem for publishers, delegation.crt for `trust init`.

    Its passphrase is FARM_SIGNING_PASSPHRASE, or that of a cosign key FARM_COSIGN_PASSWORD; if it is not set,
    one is generated and printed once.
    """
    from farm.settings import Secret

    setting = "cosign-password" if cosign else "signing-passphrase"
    given = settings.cosign_password if cosign else settings.signing_passphrase
    file = directory / ("cosign.key" if cosign else "delegation.pem")
    # Path.exists raises where the directory cannot be searched; creating the key reports that.
    if given is None and os.access(file, os.F_OK):
        raise TrustDeniedError(f"{file} exists already", hint="nothing was changed")
    passphrase = given or Secret(secrets.token_urlsafe(24))
    for line in (_create_key_pair if cosign else _create_delegation_key)(directory, passphrase):
        say(line)
    if given is None:
        say(f"passphrase   {passphrase.reveal()}   (shown only once: {setting})")


def _create_delegation_key(directory: Path, passphrase: Secret) -> tuple[str, str]:
    from farm.trust.notary.delegation import generate_delegation_key

    made = generate_delegation_key(directory, passphrase)
    return (
        f"key          {made.key}   (publishers: signing-key)",
        f"certificate  {made.certificate}   (farm trust init --certificate)",
    )


def _create_key_pair(directory: Path, passphrase: Secret) -> tuple[str, str]:
    from farm.trust.cosign.key_files import generate_key_pair

    made = generate_key_pair(directory, passphrase)
    return (
        f"key          {made.key}   (publishers: cosign-key)",
        f"public key   {made.public}   (everybody: cosign-public-key, cosign verify --key)",
    )


trust.add_command(init)
trust.add_command(pin)


@click.command("sign")
@click.argument("references", nargs=-1, required=True, metavar="REF...")
@with_settings("signers", "cosign_key", "notary_server", "notary_ca", "signing_key", "signing_role")
@click.option(
    "--print", "only_print", is_flag=True, help="Print the commands of the signers, and sign nothing."
)
@click.option("--force", is_flag=True, help="Sign also what has replaced something that is signed.")
@json_option
def sign(
    settings: Settings, references: tuple[str, ...], only_print: bool, force: bool, as_json: bool
) -> None:
    """Sign what each REF refers to, an index or one architecture's image, as the publisher does.

    Signs the digest and size of the bytes that the registry serves. What is signed already is skipped. A tag
    that refers to something else than what is signed under it is refused: somebody overwrote it.

    \b
    farm sign linuxkit/foo:HASH linuxkit/foo:HASH-arm64
    farm sign --print linuxkit/foo:HASH
    """
    from farm.registry.client import open_registry
    from farm.trust.signer import make_signer

    with open_registry(settings) as registry:
        signer = make_signer(settings, registry)
        names = [Reference.parse(text).name for text in references]
        signer.check_settings(names, to_sign=not only_print)
        targets = [_read_target(registry, text) for text in references]
        if not only_print:
            signed = signer.ready(map(_reference, targets))
            if not force:
                _refuse_overwritten(signed, targets)
            signer.sign(targets)
    rows = [_to_json(signer, target, settings.signing_role) for target in targets]
    lines = (row["command"] if only_print else f"{row['reference']}  signed  {row['digest']}" for row in rows)
    print_answer(rows, lines, as_json=as_json)


def _refuse_overwritten(signed: Mapping[str, SignedName], targets: list[SignTarget]) -> None:
    from farm.trust.signer import overwritten

    for target in targets:
        if wrong := overwritten(_reference(target), target.digest, signed[target.name]):
            wrong.hint = f"{wrong.hint}; or sign what is there: farm sign --force"
            raise wrong


def _reference(target: SignTarget) -> Reference:
    return Reference.parse(f"{target.name}:{target.tag}")


def _read_target(registry: Registry, text: str) -> SignTarget:
    """What a reference refers to now."""
    from farm.trust.signer import SignTarget

    reference = Reference.parse(text).or_latest()
    if not reference.tag or reference.digest:
        raise InputError(f"{text}: only a tag can be signed", hint="write it as NAME:TAG")
    return SignTarget.of(reference, registry.existing(reference).descriptor)


def _to_json(signer: Signer, target: SignTarget, role: str) -> dict[str, Any]:
    return {
        "reference": f"{target.name}:{target.tag}",
        "digest": target.digest,
        "size": target.size,
        "role": role,
        "command": signer.command_line(target),
    }

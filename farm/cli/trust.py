"""farm sign, and the administrator's farm trust, which creates keys and prepares names for signing."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import attached, json_option, with_settings
from farm.cli.output import print_answer, say
from farm.cli.trust_init import init, pin
from farm.errors import TrustDeniedError
from farm.model import Reference

if TYPE_CHECKING:
    from farm.registry.client import Registry
    from farm.settings import Secret, Settings
    from farm.trust.signer import Signer, SignTarget


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
@with_settings("broker", "signers", "cosign_key", "notary_server", "notary_ca", "signing_key", "signing_role")
@click.option("--adopt", is_flag=True, help="Sign also what no authorised worker has built for that tag.")
@click.option(
    "--print", "only_print", is_flag=True, help="Print the commands of the signers, and sign nothing."
)
@click.option("--detach", is_flag=True, help="Submit the run, print its name, and exit.")
@json_option
def sign(
    settings: Settings,
    references: tuple[str, ...],
    adopt: bool,
    only_print: bool,
    detach: bool,
    as_json: bool,
) -> int:
    """Have a publisher sign what each REF refers to now: an index, or one architecture's image.

    What is signed already is skipped. A tag that refers to something else than what is signed under it is
    refused: somebody overwrote it.

    \b
    farm sign linuxkit/foo:HASH linuxkit/foo:HASH-arm64
    farm sign --adopt linuxkit/foo:v1.2
    farm sign --print linuxkit/foo:HASH
    """
    from farm.cli.follow import follow
    from farm.private_farm.connect import require_workers
    from farm.registry.client import open_registry
    from farm.scheduling.signing_run import plan_signing, submit_signing

    with open_registry(settings) as registry:
        if only_print:
            return _print_commands(registry, settings, references, as_json=as_json)
        plan = plan_signing(registry, settings, references, adopt=adopt)
    if not plan.works:
        lines = (f"{one.reference}  signed  {one.digest}" for one in plan.targets)
        print_answer({"run": None, "state": "done", "packages": []}, lines, as_json=as_json)
        return 0
    with attached(settings, builds=True) as (connected, store):
        require_workers(connected, store, {"publish"})
        if not as_json:
            for copy in (copy for work in plan.works for copy in work.copies):
                say(f"{copy.target.familiar}: to be signed as {copy.digest}", err=True)
        run = submit_signing(plan.works, connected, store)
        return follow(run, detach=detach, as_json=as_json)


def _print_commands(
    registry: Registry, settings: Settings, references: tuple[str, ...], *, as_json: bool
) -> int:
    """Print the command with which each signer would sign what a reference refers to now."""
    from farm.scheduling.signing_run import read_targets
    from farm.trust.signer import make_signer

    signer = make_signer(settings, registry)
    signer.check_settings([Reference.parse(text).name for text in references], to_sign=False)
    targets = read_targets(registry, references)
    rows = [_to_json(signer, target, settings.signing_role) for target in targets]
    print_answer(rows, (row["command"] for row in rows), as_json=as_json)
    return 0


def _to_json(signer: Signer, target: SignTarget, role: str) -> dict[str, Any]:
    return {
        "reference": f"{target.name}:{target.tag}",
        "digest": target.digest,
        "size": target.size,
        "role": role,
        "command": signer.command_line(target),
    }

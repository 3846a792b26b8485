"""farm sign: sign tags, or print the notary commands that would."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json
from farm.errors import InputError, RegistryError

if TYPE_CHECKING:
    from farm.registry.client import Registry
    from farm.settings import Settings
    from farm.trust.signer import Signer, SignTarget


@click.command("sign")
@click.argument("references", nargs=-1, required=True, metavar="REF...")
@with_settings("notary_server", "notary_ca", "signing_key", "signing_role")
@click.option("--print", "only_print", is_flag=True, help="Print the notary commands, and sign nothing.")
@json_option
def command(settings: Settings, references: tuple[str, ...], only_print: bool, as_json: bool) -> None:
    """Sign what each REF refers to, an index or one architecture's image, as the publisher does.

    Signs the digest and size of the bytes that the registry serves. What is signed already is skipped.

    \b
    farm sign linuxkit/foo:HASH linuxkit/foo:HASH-arm64
    farm sign --print linuxkit/foo:HASH
    """
    from farm.registry.client import open_registry
    from farm.trust.signer import make_signer

    with open_registry(settings) as registry:
        signer = make_signer(settings, registry.credentials)
        targets = [_read_target(registry, text) for text in references]
        if not only_print:
            signer.ready(target.name for target in targets)
            signer.sign(targets)
    rows = [_to_json(signer, target, settings.signing_role) for target in targets]
    if as_json:
        print_json(rows)
    for row in () if as_json else rows:
        click.echo(row["command"] if only_print else f"{row['reference']}  signed  {row['digest']}")


def _read_target(registry: Registry, text: str) -> SignTarget:
    """What a reference refers to now.

    Raises:
        InputError: it has no tag, which is what notary signs.
        RegistryError: the registry holds no such image.
    """
    from farm.model import Reference
    from farm.trust.signer import SignTarget

    reference = Reference.parse(text).or_latest()
    if not reference.tag or reference.digest:
        raise InputError(f"{text}: only a tag can be signed", hint="write it as NAME:TAG")
    manifest = registry.manifest(reference)
    if manifest is None:
        raise RegistryError(f"{reference.familiar}: the registry holds no such image")
    return SignTarget.of(reference, manifest.descriptor)


def _to_json(signer: Signer, target: SignTarget, role: str) -> dict[str, Any]:
    return {
        "reference": f"{target.name}:{target.tag}",
        "digest": target.digest,
        "size": target.size,
        "role": role,
        "command": shlex.join(signer.command_line(target)),
    }

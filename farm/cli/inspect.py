"""farm inspect: what a tag refers to, and whether it is signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_json

if TYPE_CHECKING:
    from farm.model import Descriptor
    from farm.registry.credentials import Credentials
    from farm.registry.published_images import Description, ImageDescription
    from farm.settings import Settings
    from farm.trust.signer import Signature


@click.command("inspect")
@click.argument("reference")
@with_settings("notary_server", "notary_ca", "sign", sign="look up the signature")
@click.option("--raw", is_flag=True, help="Print the exact bytes of the index or manifest.")
@json_option
def command(settings: Settings, reference: str, raw: bool, as_json: bool) -> None:
    """Show what a registry holds under REFERENCE: platforms, digests, sizes, layers, and the signature.

    --no-sign does not ask the notary server.
    """
    from farm.model import Reference
    from farm.registry.client import open_registry
    from farm.registry.published_images import describe

    parsed = Reference.parse(reference).or_latest()
    with open_registry(settings) as registry:
        description = describe(registry, parsed)
        if raw:
            click.echo(description.body, nl=False)
            return
        signed = _read_signature(settings, description, registry.credentials)
    state = signature_state(description, signed, asked=settings.sign)
    if as_json:
        print_json(
            description.to_json() | {"signature": state, "signedDigest": signed.digest if signed else None}
        )
    else:
        _print_description(description, state)


def _read_signature(
    settings: Settings, description: Description, credentials: Credentials
) -> Signature | None:
    from farm.trust.signer import make_signer

    reference = description.reference
    if not settings.sign or not reference.tag:
        return None
    signed = make_signer(settings, credentials).signed([reference.name])
    return signed[reference.name].get(reference.tag)


def signature_state(description: Description, signed: Signature | None, *, asked: bool) -> str:
    """One of: signed, unsigned, other (another digest is signed under the tag), not asked."""
    if not asked or not description.reference.tag:
        return "not asked"
    if signed is None:
        return "unsigned"
    return "signed" if signed.digest == description.descriptor.digest else "other"


def _print_description(description: Description, state: str) -> None:
    click.echo(f"{description.reference}")
    click.echo(f"  {_line(description.descriptor)}")
    click.echo(f"  signature: {state}")
    for image in description.images:
        _print_image(image)


def _print_image(image: ImageDescription) -> None:
    title = f"attestation of {image.about}" if image.about else str(image.manifest.platform or "image")
    click.echo(f"  {title}")
    click.echo(f"    manifest {_line(image.manifest)}")
    if image.config:
        click.echo(f"    config   {_line(image.config)}")
    for layer in image.layers:
        click.echo(f"    layer    {_line(layer)}")


def _line(descriptor: Descriptor) -> str:
    return f"{descriptor.digest}  {descriptor.size:>10}  {descriptor.media_type}"

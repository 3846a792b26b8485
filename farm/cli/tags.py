"""farm show-tag: the tags of packages; farm inspect: what a tag refers to, and whether it is signed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, tag_options, with_settings
from farm.cli.output import print_answer, print_bytes, print_note, print_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.model import Descriptor, Package
    from farm.package.tags import TagOptions
    from farm.registry.client import Registry
    from farm.registry.description import Description
    from farm.settings import Settings
    from farm.trust.signer import Signature, SignedName


@click.command("show-tag")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@with_settings("org", "include_ignored")
@tag_options
@click.option(
    "--canonical", is_flag=True, help="Include the registry's host, as in docker.io/linuxkit/foo:HASH."
)
@json_option
def show_tag(
    _settings: Settings, directories: tuple[str, ...], tags: TagOptions, canonical: bool, as_json: bool
) -> None:
    """Print the tag of each package directory, one a line.

    The tag is the git tree hash of the directory. With uncommitted changes it is HASH-dirty-XXXXXXX.
    """
    print_tags(directories, tags, canonical=canonical, as_json=as_json)


def print_tags(
    directories: tuple[str, ...], tags: TagOptions, *, canonical: bool, as_json: bool = False
) -> None:
    """Print the tags of packages."""
    from farm.package.read_packages import read_packages

    by_name = {package.directory: package for package in read_packages(directories, tags, apart=True)}
    if len(by_name) < len(directories):  # some are named twice, perhaps in another way
        by_path = {Path(name).resolve(): package for name, package in by_name.items()}
        by_name = {directory: by_path[Path(directory).resolve()] for directory in directories}
    packages = [by_name[directory] for directory in directories]
    lines = (str(package.reference) if canonical else package.tagged for package in packages)
    print_answer([_to_json(package) for package in packages], lines, as_json=as_json)


def _to_json(package: Package) -> dict[str, Any]:
    return {
        "package": package.image,
        "directory": package.directory,
        "reference": str(package.reference),
        "tag": package.reference.tag,
        "hash": package.hash,
        "dirty": package.dirty,
        "commit": package.commit,
    }


@click.command("inspect")
@click.argument("reference")
@with_settings(
    "signers", "cosign_public_key", "notary_server", "notary_ca", "sign", sign="look up the signature"
)
@click.option("--raw", is_flag=True, help="Print the exact bytes of the index or manifest.")
@json_option
def inspect(settings: Settings, reference: str, raw: bool, as_json: bool) -> None:
    """Show what a registry holds under REFERENCE: platforms, digests, sizes, layers, and the signature.

    --no-sign does not ask the signers.
    """
    from farm.model import Reference
    from farm.registry.client import open_registry
    from farm.registry.description import describe
    from farm.trust.signer import overwritten

    parsed = Reference.parse(reference).or_latest()
    with open_registry(settings) as registry:
        description = describe(registry, parsed)
        if raw:
            print_bytes(description.body)
            return
        signing = _read_signing(settings, description, registry)
    tag = description.reference.tag
    signed = _signature_of(signing, str(tag), description.descriptor.digest) if signing else None
    state = signature_state(description, signed, asked=settings.sign)
    data = description.to_json() | {"signature": state, "signedDigest": signed.digest if signed else None}
    print_answer(data, _lines(description, state), as_json=as_json)
    if not as_json and (wrong := overwritten(description.reference, description.descriptor.digest, signing)):
        print_warnings([str(wrong)])


def _read_signing(settings: Settings, description: Description, registry: Registry) -> SignedName | None:
    from farm.trust.signer import make_signer

    reference = description.reference
    if not settings.sign or not reference.tag:
        return None
    signing = make_signer(settings, registry).signed([reference])[reference.name]
    for warning in signing.warnings:
        print_note(warning)
    return signing


def _signature_of(signing: SignedName, tag: str, found: str) -> Signature | None:
    """What a tag is signed to be: by all signers, else by one of them as something other than is `found`."""
    others = (one for one in signing.partial.get(tag, ()) if one.digest != found)
    return signing.tags.get(tag) or next(others, None)


def signature_state(description: Description, signed: Signature | None, *, asked: bool) -> str:
    """One of: signed, unsigned, other (another digest is signed under the tag), not asked."""
    if not asked or not description.reference.tag:
        return "not asked"
    if signed is None:
        return "unsigned"
    return "signed" if signed.digest == description.descriptor.digest else "other"


def _lines(description: Description, state: str) -> Iterator[str]:
    yield f"{description.reference}"
    yield f"  {_line(description.descriptor)}"
    yield f"  signature: {state}"
    for image in description.images:
        title = f"attestation of {image.about}" if image.about else str(image.manifest.platform or "image")
        yield f"  {title}"
        yield f"    manifest {_line(image.manifest)}"
        if image.config:
            yield f"    config   {_line(image.config)}"
        yield from (f"    layer    {_line(layer)}" for layer in image.layers)


def _line(descriptor: Descriptor) -> str:
    return f"{descriptor.digest}  {descriptor.size:>10}  {descriptor.media_type}"

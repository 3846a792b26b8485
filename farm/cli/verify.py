"""farm verify: whether tags hold what the policy demands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_answer
from farm.errors import InputError, TrustDeniedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.settings import Settings
    from farm.trust.verify_tag import ImageReport, TagReport


@click.command("verify")
@click.argument("references", nargs=-1, required=True, metavar="REF...")
@with_settings("policy", "cosign_public_key", "notary_server", "notary_ca", "trust_pins", "broker")
@click.option("--rebuild", is_flag=True, help="Build the images of one REF again, and compare the bytes.")
@click.option("--arch", "arches", multiple=True, metavar="ARCH", help="With --rebuild: only for ARCH.")
@json_option
def verify(
    settings: Settings, references: tuple[str, ...], rebuild: bool, arches: tuple[str, ...], as_json: bool
) -> int:
    """Check everything that the policy demands of each REF: NAME:TAG of an index.

    The tag must refer to what each of the policy's signers signed under it, and each image must be attested
    by workers that the policy allows for its architecture, all built from one source. Needs no broker: the
    policy, its public keys and the registry are enough.

    With --rebuild, the images are built once more as their attestations state, on another worker where there
    is one, and compared: what differs is named by layer and file. What is published does not change.

    \b
    farm verify linuxkit/foo:HASH
    farm verify --policy policy.yml docker.io/linuxkit/foo:v1.2
    """
    from farm.model import Reference
    from farm.registry.client import open_registry
    from farm.trust.places import current_policy
    from farm.trust.verify_tag import verify_tag

    chosen = [arch for given in arches for arch in given.split(",")]
    if chosen and not rebuild:
        raise InputError("--arch: only with --rebuild")
    if rebuild:
        return _rebuild(settings, references, chosen, as_json=as_json)
    policy = current_policy(settings)
    wanted = [Reference.parse(text).or_latest() for text in references]
    for reference in wanted:
        if not reference.tag or reference.digest:
            raise InputError(f"{reference.familiar}: only a tag can be verified", hint="write it as NAME:TAG")
    with open_registry(settings) as registry:
        reports = [verify_tag(registry, settings, policy, reference) for reference in wanted]
    lines = (line for report in reports for line in _lines(report))
    print_answer([report.to_json() for report in reports], lines, as_json=as_json)
    failed = [report for report in reports if report.problems]
    return TrustDeniedError.exit_code if failed else 0


def _rebuild(settings: Settings, references: Sequence[str], arches: Sequence[str], *, as_json: bool) -> int:
    from farm.cli.verify_rebuild import rebuild
    from farm.model import Reference, refuse_unknown_arches

    refuse_unknown_arches(arches)
    if len(references) != 1:
        raise InputError("--rebuild: one REF at a time")
    return rebuild(settings, Reference.parse(references[0]), arches, as_json=as_json)


def _lines(report: TagReport) -> Iterator[str]:
    yield report.reference.familiar
    yield f"  {'verified' if not report.problems else 'NOT VERIFIED'}  {report.digest}"
    if report.signed:
        yield f"  signed by {', '.join(report.signed)}"
    for image in report.images:
        yield f"  {image.platform:<12}  {image.digest[:19]}  {_attested(image)}"
    for problem in report.problems:
        yield f"  problem: {problem}"


def _attested(image: ImageReport) -> str:
    if not image.attestations:
        return "not attested"
    newest = image.attestations[0]
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(newest.provenance.finished))
    workers = ", ".join(dict.fromkeys(one.worker for one in image.attestations))
    return f"attested by {workers}, {day}, tree {newest.provenance.tree[:12]}"

"""farm pkg remote-tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.pkg.flags import note, text, verb

if TYPE_CHECKING:
    from farm.cli.pkg.flags import Asked


@verb(
    "remote-tag",
    click.Argument(["source"], metavar="FROM"),
    click.Argument(["target"], metavar="TO"),
    text("release", "Accepted: linuxkit, too, takes it and does nothing with it.", "TAG"),
)
def command(asked: Asked, source: str, target: str, release: str | None) -> None:
    """Make TO hold what FROM holds, byte by byte; what stands at TO gives way.

    Within a repository that is a tag; into another, all that belongs to the image is copied, too.
    """
    from farm.model import Reference  # noqa: PLC0415 - the registry client is imported when it is used
    from farm.registry.connect import open_registry  # noqa: PLC0415
    from farm.registry.copy_image import CopyResult, copy  # noqa: PLC0415

    if release:
        note("--release: remote-tag has no use for it")
    there, here = (Reference.parse(name).or_latest() for name in (source, target))
    with open_registry(asked.settings) as registry:
        outcome, descriptor = copy(registry, there, here)
    if outcome is CopyResult.REPLACED:
        note(f"{here.familiar} held something else before")
    done = "stood already" if outcome is CopyResult.UNCHANGED else f"is {there.familiar}"
    click.echo(f"{here.familiar}  {descriptor.digest}  {done}")

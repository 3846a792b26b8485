"""farm bump: references to packages whose tags have changed are rewritten, in all files, in one go."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from farm.cli.options import json_option, make_push_options, make_tag_options, with_settings
from farm.cli.output import print_bytes, print_json, print_warnings, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.bump.compute import NewTag
    from farm.bump.plan_bump import PlannedBump
    from farm.settings import Settings

_LONGEST_SUBJECT = 72


@click.command("bump")
@click.argument("packages", nargs=-1, metavar="[PACKAGE]...")
@with_settings(
    "package_dirs",
    "bump_files",
    "build_args",
    "org",
    "arches",
    "sign",
    "broker",
    org="organisation that files may name too, and that --push publishes to",
)
@click.option("--stale", is_flag=True, help="Rewrite all references to other tags than the tree makes.")
@click.option("--to", metavar="NAME:TAG", help="Rewrite all references to image NAME, whatever their tag.")
@click.option("--write", is_flag=True, help="Rewrite the files of the working tree.")
@click.option("--commit", is_flag=True, help="Rewrite them, and make one commit of that.")
@click.option("--push", is_flag=True, help="Commit, then build, publish and sign what has changed, in waves.")
@click.option("-m", "--message", help="The commit message.")
@click.option("-s", "--signoff", is_flag=True, help="Add a Signed-off-by line to the commit.")
@click.option(
    "--build-yml", default="build.yml", show_default=True, metavar="FILE", help="Name of the build.yml."
)
@json_option
def bump(
    settings: Settings,
    packages: tuple[str, ...],
    stale: bool,
    to: str | None,
    write: bool,
    commit: bool,
    push: bool,
    message: str | None,
    signoff: bool,
    build_yml: str,
    as_json: bool,
) -> int:
    """Rewrite the references to PACKAGE, and to all packages whose tags change by that, to the new tags.

    PACKAGE is a name, such as linuxkit/alpine, or a directory. All files of the repository count that are
    LinuxKit YAML files, build.yml files or Dockerfiles, or match bump-files. The new tags are computed from
    HEAD; nothing has to be built. Without --write, --commit or --push, only the diff is printed.

    A reference stays as it is if its line, or the line before, has the comment `# farm: pinned`, or if it has
    a digest.

    \b
    farm bump linuxkit/alpine            show what changes, as a diff
    farm bump linuxkit/alpine --commit   rewrite the files, and commit them
    farm bump --stale --push             commit, and build everything that changed
    farm bump --to linuxkit/kernel:6.12.59 --write
    """
    started = time.monotonic()
    planned = _plan(settings, packages, to, build_yml, stale=stale)
    made = None
    if commit or push:
        made = _commit(planned, message, sign_off=signoff)
    elif write:
        _write(planned)
    elif not as_json:
        _print_diff(planned)
    if push or not as_json:
        _print_summary(planned, made)
    if push:
        return _push(settings, planned, build_yml, started, as_json=as_json)
    if as_json:
        print_json(_to_json(planned, made))
    return 0


def _plan(
    settings: Settings, packages: tuple[str, ...], to: str | None, build_yml: str, *, stale: bool
) -> PlannedBump:
    """Compute the bump of the repository of the current directory, and print its warnings."""
    from farm.bump.plan_bump import BumpRequest, plan_bump
    from farm.model import Reference

    image = Reference.parse(to) if to else None
    request = BumpRequest(
        packages, stale, image, settings.package_dirs, settings.bump_files, build_yml, settings.org
    )
    planned = plan_bump(Path.cwd(), request, dict(settings.build_args))
    print_warnings(planned.warnings)
    return planned


def _commit(planned: PlannedBump, message: str | None, *, sign_off: bool) -> str | None:
    """Commit the rewritten files, if there are any, and return the commit."""
    from farm.bump.working_tree import commit_files

    if not planned.bump.changes:
        return None
    return commit_files(planned, message or _message(planned), sign_off=sign_off)


def _write(planned: PlannedBump) -> None:
    from farm.bump.working_tree import write_files

    write_files(planned.repository, planned.bump)


def _print_diff(planned: PlannedBump) -> None:
    from farm.bump.working_tree import diff

    print_bytes(diff(planned.bump))


def _push(settings: Settings, planned: PlannedBump, build_yml: str, started: float, *, as_json: bool) -> int:
    """Push the packages that may have a new tag; those that are published have nothing to do."""
    from farm.cli.push import push_plan
    from farm.planning.prepare_plan import prepare

    tags = make_tag_options(settings, (), build_yml=build_yml)
    plan = prepare(planned.to_push, tags, settings, make_push_options(settings), to_push=True)
    return push_plan(plan, settings, started, as_json=as_json)


def _print_summary(planned: PlannedBump, commit: str | None) -> None:
    """Print on standard error what the bump does, since the diff is on standard output."""
    bump = planned.bump
    for kept in bump.kept:
        say(f"kept: {kept.path}:{kept.line}: {kept.reference} ({kept.why})", err=True)
    for line in _new_tags(bump.tags):
        say(line, err=True)
    count = sum(change.references for change in bump.changes)
    done = f"; committed as {commit[:12]}" if commit else ""
    what = f"{count} references in {len(bump.changes)} files" if count else "nothing to rewrite"
    say(f"{what}, {len(bump.kept)} kept{done}", err=True)


def _new_tags(tags: tuple[NewTag, ...]) -> Iterator[str]:
    for package, tag in tags:
        old = package.reference
        if tag != old.tag:
            yield f"{old.familiar} → {tag}"


def _message(planned: PlannedBump) -> str:
    """The commit message: the packages that were asked for, and every new tag."""
    asked = ", ".join(planned.asked)
    subject = f"Bump {asked}"
    if len(subject) > _LONGEST_SUBJECT:
        subject = "Bump references to packages"
    return "\n".join((subject, "", *_new_tags(planned.bump.tags))).rstrip()


def _to_json(planned: PlannedBump, commit: str | None) -> dict[str, Any]:
    """The output of `--json`."""
    bump = planned.bump
    return {
        "head": planned.repository.commit,
        "commit": commit,
        "packages": [
            {
                "package": package.image,
                "directory": package.directory,
                "from": str(package.reference),
                "to": str(package.reference.with_tag(tag)),
            }
            for package, tag in bump.tags
        ],
        "files": [{"path": change.path, "references": change.references} for change in bump.changes],
        "kept": [kept._asdict() for kept in bump.kept],
        "warnings": list(planned.warnings),
    }

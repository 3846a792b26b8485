"""From directories to a plan: read the packages, look up what is published, decide."""

from __future__ import annotations

import importlib
import posixpath
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from farm.errors import FarmError, GitError, InputError, combine
from farm.model import ARCHES
from farm.package.dockerfile import base_images, dockerfiles, needs
from farm.package.git import INCLUDE_IGNORED, LONGEST, Repository, committed_at, ignore_rule, read_at
from farm.package.read_packages import read_packages, resolve_build_args
from farm.package.tags import require_committed
from farm.planning.bases import related_bases, with_bases
from farm.planning.decide import make_plan
from farm.planning.refusals import require_signing, with_refusals
from farm.system.regular_files import read_regular

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from farm.model import ArchImage, Package
    from farm.package.dockerfile import BaseImage
    from farm.package.tags import TagOptions
    from farm.planning.plan import PackagePlan, Plan, PushOptions
    from farm.settings import Settings


def prepare(
    directories: Sequence[str],
    tags: TagOptions,
    settings: Settings,
    options: PushOptions,
    *,
    to_push: bool = False,
) -> Plan:
    """The plan for these package directories, with what a push of it would refuse; changes nothing.

    Raises:
        InputError: a package cannot be pushed, so that there is no plan; the message names it.
        TrustDeniedError: the settings lack what signing needs, and the plan is made `to_push`; nobody was
            asked then.
        RegistryError, TrustError: what is published or signed cannot be read.
    """
    plan, texts, of_bases = _make(directories, tags, settings, options, to_push=to_push)
    return with_refusals(plan, texts, settings, of_bases)


def _make(
    directories: Sequence[str],
    tags: TagOptions,
    settings: Settings,
    options: PushOptions,
    *,
    builds: bool = True,
    to_push: bool,
) -> tuple[Plan, Mapping[str, str], Sequence[FarmError]]:
    """The plan, the Dockerfiles of the packages, and what is wrong with base images.

    The plan's refusals are what signing lacks in the settings.

    Without `builds`, nothing is read that only a build needs: Dockerfiles, and packages that build arguments
    name.
    """
    with ThreadPoolExecutor(1) as pool:
        # To import an HTTP client takes as long as git's answers.
        imported = pool.submit(importlib.import_module, "farm.planning.look_up")
        packages = read_packages(directories, tags)
        _require_committed(packages)
        check_build_yml(packages, tags)
        texts: dict[str, str] = {}
        dependencies: dict[str, tuple[str, ...]] = {}
        bases: dict[str, tuple[BaseImage, ...]] = {}
        warnings: tuple[str, ...] = ()
        if builds:
            packages = resolve_build_args(packages, tags.build_yml)
            texts = dockerfiles(packages)
            bases = base_images(packages, dict(settings.build_args), texts)
            dependencies, warnings = needs(packages, bases)
        imported.result()
        from farm.planning.look_up import look_up  # noqa: PLC0415 - see above

        missing, readable = _missing_for_signing(packages, settings, options)
        if missing and to_push:
            raise missing
        asked = options._replace(sign=options.sign and readable)
        published = look_up(packages, settings, asked)
        plan = make_plan(packages, published, dependencies, options, warnings)
        # With what the settings lack nothing can be signed, which is no harm if nothing has to be.
        refusals = (missing,) if missing and any(item.needs_signature for item in plan.packages) else ()
        adopted = _adopted(plan) if options.adopt else []
        plan = plan._replace(refusals=refusals, warnings=(*plan.warnings, *adopted))
        plan, of_bases = _with_bases(plan, bases, settings, asked)
        return plan, texts, of_bases


def _adopted(plan: Plan) -> list[str]:
    """The warning for each image of a package that counts only because it is adopted."""
    return [
        f"adopted {image.reference.familiar} as {', '.join(one.digest for one in image.descriptors)}"
        for item in plan.packages
        for image in item.adopted_images
    ]


def _with_bases(
    plan: Plan, bases: Mapping[str, Sequence[BaseImage]], settings: Settings, options: PushOptions
) -> tuple[Plan, Sequence[FarmError]]:
    """The plan with what the bases of each package that it builds must be, and what is wrong with them."""
    named = {item.package.image: bases.get(item.package.image, ()) for item in plan.packages if item.build}
    if not any(named.values()):
        return plan, ()
    from farm.planning.look_up_bases import look_up_bases  # noqa: PLC0415 - as look_up

    related = related_bases([item.package for item in plan.packages], named)
    signed = options.sign and any(item.sign for item in plan.packages)
    digests, foreign, refusals = look_up_bases(related, settings, signed=signed)
    plan = with_bases(plan, named, digests)
    if not options.adopt:
        return plan, [*refusals, *foreign.values()]
    warnings = [f"adopted the base image {one.familiar} as {digests[one]}" for one in foreign]
    return plan._replace(warnings=(*plan.warnings, *warnings)), refusals


def _missing_for_signing(
    packages: Sequence[Package], settings: Settings, options: PushOptions
) -> tuple[FarmError | None, bool]:
    """The error for what the settings lack to sign, and whether signatures can be read without it."""
    try:
        require_signing(packages, settings, options)
    except FarmError as error:
        try:
            require_signing(packages, settings, options, to_sign=False)
        except FarmError:
            return error, False
        return error, True
    return None, True


def _require_committed(packages: Sequence[Package]) -> None:
    """Refuse packages with uncommitted changes or outside git, all at once."""
    errors = []
    for package in packages:
        try:
            require_committed(package)
        except InputError as error:
            errors.append(error)
    if errors:
        raise combine(errors)


def check_build_yml(packages: Sequence[Package], tags: TagOptions) -> None:
    """Refuse a build.yml, or a list of images that it names, which the commit to build does not have.

    And to build a mere tree.
    """
    if tags.other_commit:
        _refuse_other_build_yml(packages, tags)
    elif not tags.fixed_hash:
        _refuse_ignored_build_yml(packages, tags)


def _refuse_ignored_build_yml(packages: Sequence[Package], tags: TagOptions) -> None:
    """Refuse those that git ignores: the tag does not cover them. Files elsewhere are the user's to name."""
    groups: dict[Repository, dict[str, Package]] = defaultdict(dict)
    for package in packages:
        own = Path(package.directory).resolve()
        for name in _yml_files(package, tags) if package.commit and not package.dirty else ():
            path = (own / name).resolve()
            if not posixpath.normpath(name).startswith(("/", "../")) and path.is_relative_to(own):
                inside = path.relative_to(package.repository).as_posix()
                groups[Repository(package.repository, package.commit)][inside] = package
    errors: list[InputError] = []
    for repository, paths in groups.items():
        committed = committed_at(repository, paths)
        for inside, package in paths.items():
            rule = None if inside in committed else ignore_rule(Path(repository.top, inside))
            if rule:
                what = f"git ignores its {Path(inside).name} ({rule}), so its tag does not cover it"
                errors.append(GitError(f"{package.directory}: {what}", hint=INCLUDE_IGNORED))
    if errors:
        raise combine(errors)


def _yml_files(package: Package, tags: TagOptions) -> Iterator[str]:
    """The build.yml, and the list of images that it names, as paths from the package."""
    yield tags.build_yml
    if package.yml.depends and package.yml.depends.from_file:
        yield package.yml.depends.from_file


def _refuse_other_build_yml(packages: Sequence[Package], tags: TagOptions) -> None:
    """Refuse to build another commit if the working directory's build.yml differs from it, or a mere tree."""
    groups: dict[tuple[str, str], dict[str, Package]] = defaultdict(dict)
    for package in packages:
        if not package.commit:
            raise InputError(f"{package.directory}: {tags.hash_commit} is not a commit there")
        for name in _yml_files(package, tags):
            path = posixpath.normpath(posixpath.join(package.trees[0].path, name))
            groups[package.repository, str(package.commit)][path] = package
    for (repository, commit), paths in groups.items():
        committed = read_at(Repository(repository, commit), paths)
        for path, package in paths.items():
            # Line ends do not matter: on checkout, git may change them.
            here = read_regular(Path(repository, path), LONGEST)
            if committed.get(path, b"").splitlines() != here.splitlines():
                raise InputError(
                    f"{package.directory}: {Path(path).name} is different at {tags.hash_commit}",
                    hint=f"git checkout {tags.hash_commit}, then push",
                )


def plan_existing_images(
    directories: Sequence[str],
    tags: TagOptions,
    settings: Settings,
    options: PushOptions,
    expected: Mapping[str, Collection[ArchImage]] = MappingProxyType({}),
    *,
    to_push: bool = False,
) -> Plan:
    """The plan that publishes the existing images of these packages, and builds none; else as `prepare`.

    Without `only` in the options, images of all architectures are looked up. `expected` are images that will
    exist when the plan is carried out, by package name.

    Raises:
        InputError: a package lacks an image, and its index would be partial or empty.
        RegistryError, TrustError: the registry or the notary server cannot be asked.
    """
    options = options._replace(every_image=not options.only)
    plan, texts, _ = _make(directories, tags, settings, options, builds=False, to_push=to_push)
    items = []
    for item in plan.packages:
        images = {image.arch: image for image in expected.get(item.package.image, ())}
        items.append(_with_expected(item, images) if images else item)
    publishing = without_builds(plan._replace(packages=tuple(items)), partial=options.partial)
    return with_refusals(publishing, texts, settings)


def _with_expected(item: PackagePlan, images: Mapping[str, ArchImage]) -> PackagePlan:
    """The plan for a package with images that its user pushes, and so adopts."""
    found = item.published
    others = {arch: image for arch, image in found.images.items() if arch not in images}
    adopted = (found.unattested if item.adopt else {}) | dict(images)
    return replace(item, published=replace(found, images=others, unattested=adopted), adopt=True)


def without_builds(plan: Plan, *, partial: bool) -> Plan:
    """The same plan with nothing to build."""
    kept, skipped = [], []
    for planned in plan.packages:
        item = replace(planned, force=False)
        if not item.images and not item.arches:
            skipped.append(item.package.why_skipped)
            continue
        if not item.images or (item.build and not partial):
            raise _no_image(item)
        arches = tuple(arch for arch in ARCHES if arch in item.images)
        skipped += _left_out(item, arches)
        kept.append(replace(item, arches=arches, needs=()))
    return plan._replace(packages=tuple(kept), warnings=(*plan.warnings, *skipped))


def _left_out(item: PackagePlan, arches: Sequence[str]) -> list[str]:
    """The warning about images that exist, and do not count."""
    others = [arch for arch in item.published.unattested if arch not in arches]
    name = item.package.reference.familiar
    what = f"{name}: left out {', '.join(others)}: no authorised worker attests it; --adopt accepts it"
    return [what] if others else []


def _no_image(item: PackagePlan) -> InputError:
    name, distrusted = item.package.reference.familiar, item.published.unattested
    if unattested := [arch for arch in item.build if arch in distrusted] or list(distrusted):
        return InputError(
            f"{name}: no authorised worker attests the image for {', '.join(unattested)}",
            hint="build it with farm push, or accept what exists: --adopt",
        )
    return InputError(
        f"{name}: no image for {', '.join(item.build)}",
        hint="build it with farm push, or publish without it: --partial",
    )

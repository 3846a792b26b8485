"""farm pkg push and manifest."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import click

from farm.cli.options import make_push_options
from farm.cli.output import print_note, print_warnings, say
from farm.cli.pkg.flag_checks import check_push_flags, note_build_only_flags
from farm.cli.pkg.flags import BUILD_FLAGS, DIRECTORIES, PUSH_FLAG
from farm.cli.pkg.verbs import build_options, pkg_verb
from farm.cli.push import print_plan, publish_existing_images, push_plan
from farm.errors import CacheError, InputError
from farm.model import ARCHES

if TYPE_CHECKING:
    from farm.cache.layout import Cache
    from farm.cli.pkg.verbs import PkgRequest
    from farm.model import ArchImage, Package
    from farm.registry.client import Registry


@pkg_verb("push", DIRECTORIES, *BUILD_FLAGS, PUSH_FLAG)
def command(request: PkgRequest) -> int:
    """Build what is missing for every architecture, publish each package's index, and sign it: farm push.

    \b
    farm pkg push -org=wombat -disable-content-trust pkg/foo
    farm pkg push --manifest=false pkg/foo               only the images
    farm pkg push --image=false --manifest pkg/foo       only the index
    """
    return push(request)


@pkg_verb(
    "manifest", DIRECTORIES, click.Option(["--release"], metavar="TAG", help="Also publish under this tag.")
)
def manifest(request: PkgRequest) -> int:
    """Publish and sign the index of each package's existing NAME:HASH-ARCH images: farm manifest --partial.

    An architecture whose image is missing is left out; a later call adds it.
    """
    options = make_push_options(request.settings, partial=True, release=request.flags.release)
    return publish_existing_images(request.settings, request.directories, request.tags, options)


def push(request: PkgRequest) -> int:
    """Push as the flags say; returns the exit code."""
    flags = request.flags
    check_push_flags(flags)
    if flags.sign is False:
        request = replace(request, settings=replace(request.settings, sign=False))
    release = "" if flags.manifest is False else _release(request)
    builds = not flags.nobuild and flags.image is not False
    code = _build_and_push(request, release) if builds else _push_existing(request, release)
    return _load(request) if flags.docker and not code else code


def _load(request: PkgRequest) -> int:
    """Pull what was pushed into the cache, and load it into this machine's engine."""
    from farm.cli.build import build_locally

    if request.flags.dry_run:
        print_note("--docker: would then load the images into the engine")
        return 0
    pulled = replace(request, flags=replace(request.flags, force=False, pull=True))
    return build_locally(request.settings, request.directories, request.tags, build_options(pulled))


def _push_existing(request: PkgRequest, release: str) -> int:
    """Push the cache's images, unless --image=false, and publish the index, unless --manifest=false."""
    from farm.planning.prepare_plan import plan_existing_images

    flags = request.flags
    note_build_only_flags(flags)
    pushed = {} if flags.image is False else _push_cached(request)
    if flags.manifest is False:
        return 0
    options = make_push_options(request.settings, partial=True, release=release)
    options = options._replace(skip=request.skipped)
    if flags.dry_run:
        plan = plan_existing_images(request.directories, request.tags, request.settings, options, pushed)
        return print_plan(plan, request.settings)
    return publish_existing_images(request.settings, request.directories, request.tags, options, pushed)


def _build_and_push(request: PkgRequest, release: str) -> int:
    from farm.planning.prepare_plan import prepare

    started = time.monotonic()
    options = make_push_options(request.settings, force=bool(request.flags.force), release=release)
    options = options._replace(
        platforms=request.platforms,
        skip=request.skipped,
        images_only=request.flags.manifest is False,
    )
    dry_run = bool(request.flags.dry_run)
    plan = prepare(request.directories, request.tags, request.settings, options, to_push=not dry_run)
    if dry_run:
        return print_plan(plan, request.settings)
    return push_plan(plan, request.settings, started)


def _release(request: PkgRequest) -> str:
    """The tag of --release, else the git tag on HEAD, as with linuxkit; "" for none."""
    from farm.package.git import NAME_A_RELEASE, tags_on_head

    given = request.flags.release
    if given is not None or request.tags.other_commit:
        return given or ""
    tags = tags_on_head(request.directories)
    if len(tags) > 1:
        raise InputError(f"HEAD has several tags: {', '.join(tags)}", hint=NAME_A_RELEASE)
    if tags:
        print_note(f"HEAD is tagged {tags[0]}: released as {tags[0]}; --release= prevents that")
    return tags[0] if tags else ""


def _push_cached(request: PkgRequest) -> dict[str, list[ArchImage]]:
    """Push the images that the cache has and the registry lacks; returns those that both have then.

    Where a required image is missing, nothing is pushed. With --dry-run nothing ever is.
    """
    from farm.cache.layout import Cache
    from farm.cache.transfer import push_image
    from farm.planning.refusals import require_rights, require_signing
    from farm.registry.client import open_registry

    packages = _read_pushable(request)
    cache, dry_run = Cache(request.settings.cache), bool(request.flags.dry_run)
    if request.flags.manifest is not False and not dry_run:
        require_signing(packages, request.settings, make_push_options(request.settings))
        # Their index adopts what this user has pushed.
        require_rights(packages, request.settings, release=True)
    with open_registry(request.settings) as registry:
        found = {package.image: _to_push(request, cache, registry, package) for package in packages}
        for image in (image for one in found.values() for image in one.missing):
            if not dry_run:
                push_image(cache, registry, image)
            say(f"{image.reference.familiar}  {'push it' if dry_run else 'pushed'} from the cache")
    return {name: [*one.missing, *one.pushed] for name, one in found.items()}


def _read_pushable(request: PkgRequest) -> list[Package]:
    """The packages that may be pushed, without those of which all architectures are skipped."""
    from farm.local_build.options import BuildOptions
    from farm.package.read_packages import read_packages
    from farm.package.tags import require_committed

    packages, default_arches = read_packages(request.directories, request.tags), request.settings.arches
    for package in packages:
        require_committed(package)
    unskipped = BuildOptions(skip=request.skipped)
    if request.flags.manifest is False:
        print_warnings(unskipped.skipped(packages, default_arches))
    return [package for package in packages if unskipped.arches_of(package, default_arches)]


class _Cached(NamedTuple):
    """The images of a package in the cache."""

    missing: list[ArchImage]
    """Those that the registry lacks."""
    pushed: list[ArchImage]
    """Those to which their tags in the registry refer."""


def _to_push(request: PkgRequest, cache: Cache, registry: Registry, package: Package) -> _Cached:
    """The images of a package that the cache has and the registry lacks.

    An image of --platforms must be in one of the two. With --manifest=false a package without any image in
    the cache is an error, since nothing would be published for it.
    """
    from farm.cache.named_images import find_image

    platforms, reference = request.platforms, package.reference
    arches = [arch for arch in platforms or ARCHES if arch not in request.skipped]
    cached = {arch: image for arch in arches if (image := find_image(cache, reference, arch))}
    if request.flags.manifest is False and not cached:
        raise CacheError(f"{reference.familiar} is not in the cache {cache.root} for {', '.join(arches)}")
    heads = {arch: registry.head(image.reference) for arch, image in cached.items()}
    for target in (reference.for_arch(arch) for arch in platforms if arch not in cached):
        if registry.head(target) is None:
            raise CacheError(f"{target.familiar} is neither in the cache {cache.root} nor in the registry")
    missing = [image for arch, image in cached.items() if heads[arch] is None]
    digests = {arch: head.digest for arch, head in heads.items() if head}
    pushed = [image for arch, image in cached.items() if image.descriptors[0].digest == digests.get(arch)]
    return _Cached(missing, pushed)

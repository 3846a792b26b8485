"""farm pkg build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farm.cli.build import build_locally
from farm.cli.output import print_note, print_warnings, say
from farm.cli.pkg.flag_checks import check_local_build_flags
from farm.cli.pkg.flags import BUILD_FLAGS, DIRECTORIES, PUSH_FLAG
from farm.cli.pkg.push import push
from farm.cli.pkg.verbs import build_options, builder_settings, pkg_verb

if TYPE_CHECKING:
    from farm.cli.pkg.verbs import PkgRequest
    from farm.local_build.options import BuildOptions


@pkg_verb("build", DIRECTORIES, *BUILD_FLAGS, PUSH_FLAG)
def command(request: PkgRequest) -> int:
    """Build packages into the LinuxKit cache, unless the cache or the registry has them. Same as farm build.

    Builds for this machine's architecture; with the setting `emulate`, for all of the package's; with
    --skip-platforms, for all of the package's but these.

    \b
    farm pkg build -org=wombat -disable-content-trust pkg/foo
    farm pkg build -org=wombat -hash=foo push            the syntax of 2021
    """
    if "push" in request.directories and not Path("push").is_dir():
        return push(_without_push_word(request))
    return push(request) if request.flags.push else _build(request)


def _without_push_word(request: PkgRequest) -> PkgRequest:
    """The request without the word `push`, which linuxkit's document of 2021 writes in the place of --push.

    That document names no package then, and means that of the current directory.
    """
    directories = tuple(word for word in request.directories if word != "push") or (".",)
    print_note(f"read as: farm pkg push {' '.join(directories)}")
    return replace(request, directories=directories)


def _build(request: PkgRequest) -> int:
    settings = builder_settings(request.flags, request.settings)
    check_local_build_flags(request.flags)
    options = build_options(request)
    if request.flags.dry_run:
        _print_sources(request, options)
        return 0
    return build_locally(settings, request.directories, request.tags, options)


def _print_sources(request: PkgRequest, options: BuildOptions) -> None:
    """Print where each image would come from."""
    from farm.cache.layout import Cache
    from farm.cache.named_images import find_image
    from farm.package.read_packages import read_packages, resolve_build_args

    cache, default_arches = Cache(request.settings.cache), request.settings.arches
    packages = resolve_build_args(read_packages(request.directories, request.tags), request.tags.build_yml)
    print_warnings(options.skipped(packages, default_arches))
    for package in packages:
        for line in options.unlisted(package, default_arches):
            say(line)
        for arch in options.arches_of(package, default_arches):
            cached = not options.force and find_image(cache, package.reference, arch)
            source = "in the cache" if cached else "pull it or build it" if options.pull else "build it"
            say(f"{package.reference.familiar} {arch}: {source}")

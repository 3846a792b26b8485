"""Flags of `linuxkit` that the farm has no use for: noted or refused, never silently ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.cli.output import print_note
from farm.cli.pkg.root_flags import NO_EFFECT, flag_name
from farm.errors import InputError
from farm.settings import environment

if TYPE_CHECKING:
    from farm.cli.pkg.flags import PkgFlags

BUILDERS_VARIABLE = "LINUXKIT_BUILDERS"
_BUILDER_VARIABLES = [f"LINUXKIT_BUILDER_{fact}" for fact in ("NAME", "IMAGE", "CONFIG")]

_BUILD = ("disable_cache", "enable_cache", "network", "nonetwork", "cache", "mirror")
_TRUST = ("disable_content_trust", "enable_content_trust")
_REGISTRY = ("cert_file", "registry_creds")
_TAGS = ("org", "hash", "hash_commit", "hash_path", "tag", "build_yml", "dev", "force_dirty")
_UNUSED_COMMON_FLAGS = {
    "show-tag": (*_BUILD, *_TRUST, *_REGISTRY),
    "manifest": _BUILD,
    "push": ("cache", "mirror"),
    "remote-tag": (*_TAGS, *_BUILD, *_TRUST),
    "builder": (*_TAGS, *_BUILD, *_TRUST, *_REGISTRY, "platforms", "builders"),
}
"""Verb to the flags that it takes and has no use for."""
_OPPOSITES = (
    ("disable_cache", "enable_cache"),
    ("network", "nonetwork"),
    ("disable_content_trust", "enable_content_trust"),
)
_EXCLUSIVE = (("force", "nobuild"), ("force", "pull"), ("platforms", "skip_platforms"))
_ONLY_FOR_BUILDS = ("build_arg_file", "dockerfile", "network", "nonetwork", "disable_cache", "enable_cache")
_WORKERS_BUILDERS = "each worker uses the builders of its own settings"


def check_common_flags(verb: str, flags: PkgFlags) -> None:
    """Note the flags that a verb has no use for; refuse contradictory ones."""
    for name in _UNUSED_COMMON_FLAGS.get(verb, ()):
        if flags.given(name) and not (verb == "push" and _is_used_by_push(name, flags)):
            print_note(f"{flag_name(name)}: has no effect on {verb}")
    _refuse_contradictions(flags)
    if flags.registry_creds:
        print_note(
            "--registry-creds: visible in the process list of this machine; FARM_REGISTRY_CREDS_FILE is not"
        )
    _note_idle(verb, flags)


def _is_used_by_push(name: str, flags: PkgFlags) -> bool:
    """Whether a push pulls into the cache, to load images, or pushes from it."""
    from_cache = flags.nobuild and flags.image is not False
    return bool(flags.docker or (name == "cache" and from_cache))


def _note_idle(verb: str, flags: PkgFlags) -> None:
    for name, reason in NO_EFFECT.items():
        if getattr(flags, name):
            print_note(f"{flag_name(name)}: {reason}")
    if verb in ("build", "push", "builder"):
        for variable, value in environment(_BUILDER_VARIABLES).items():
            name = variable.removeprefix("LINUXKIT_").lower()
            if value and not getattr(flags, name):
                print_note(f"{variable}: {NO_EFFECT[name]}")


def _refuse_contradictions(flags: PkgFlags) -> None:
    both = [pair for pair in _OPPOSITES if all(getattr(flags, name) is not None for name in pair)]
    both += [pair for pair in _EXCLUSIVE if all(getattr(flags, name) for name in pair)]
    if both:
        name, other = both[0]
        raise InputError(
            f"{flag_name(name)} and {flag_name(other)} exclude each other", hint="give only one of them"
        )


def check_local_build_flags(flags: PkgFlags) -> None:
    """Note or refuse the flags of `build` that only a push has use for."""
    if flags.without_trust is False:
        print_note("--enable-content-trust: images built for this machine alone are not signed")
    for name in ("release", "nobuild"):
        if getattr(flags, name):
            raise InputError(f"--{name}: only for a push", hint="farm pkg push")
    for name in ("image", "manifest", "sign"):
        if getattr(flags, name) is not None:
            print_note(f"--{name}: only for a push")


def check_push_flags(flags: PkgFlags) -> None:
    """Note the flags of `push` that are left to the workers; refuse those that a push cannot honour."""
    _check_worker_settings(flags)
    if flags.image is False and flags.manifest is False:
        raise InputError("--image=false and --manifest=false leave nothing to push")
    for name in ("platforms", "skip_platforms"):
        if flags.image is False and getattr(flags, name):
            raise InputError(
                f"{flag_name(name)}: --image=false publishes the index of all existing images", hint="omit it"
            )
    if flags.release and flags.manifest is False:
        raise InputError("--release: a release is an index, and --manifest=false publishes none")


def _check_worker_settings(flags: PkgFlags) -> None:
    if flags.builders:
        print_note(f"--builders: {_WORKERS_BUILDERS}")
    elif environment([BUILDERS_VARIABLE]).get(BUILDERS_VARIABLE):
        print_note(f"{BUILDERS_VARIABLE}: {_WORKERS_BUILDERS}")
    if flags.sbom_scanner not in (None, "false"):
        raise InputError(
            "--sbom-scanner: each worker decides which attestations it makes", hint="set sbom on the worker"
        )
    if flags.pull is not None:
        print_note("--pull: a push pulls nothing; images in the registry are not built again")
    if flags.ignore_cached:
        print_note("--ignore-cached: workers never build from a cache")
    if flags.ssh:
        raise InputError(
            "--ssh: each worker decides which keys a build may use", hint="set build-ssh on the worker"
        )


def note_build_only_flags(flags: PkgFlags) -> None:
    """Note the flags that matter only to builds, for a push that builds nothing."""
    reason = "--image=false" if flags.image is False else "--nobuild"
    for name in _ONLY_FOR_BUILDS:
        if flags.given(name):
            print_note(f"{flag_name(name)}: {reason} builds nothing")
    if flags.force:
        print_note(f"--force: {reason} builds nothing")

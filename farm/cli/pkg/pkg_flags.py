"""The flags of one `farm pkg` command, as one value."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class PkgFlags:
    """The flags as they were given; one that was not given, or that the verb lacks, has its default."""

    org: str | None = None
    hash: str | None = None
    hash_commit: str = "HEAD"
    hash_path: str | None = None
    tag: str | None = None
    build_yml: str = "build.yml"
    dev: bool | None = None
    force_dirty: bool | None = None
    disable_cache: bool | None = None
    enable_cache: bool | None = None
    network: bool | None = None
    nonetwork: bool | None = None
    disable_content_trust: bool | None = None
    enable_content_trust: bool | None = None
    cache: str | None = None
    mirror: tuple[str, ...] = ()
    cert_file: tuple[str, ...] = ()
    registry_creds: tuple[str, ...] = ()
    hash_dir: str | None = None
    strict_deps: bool | None = None
    quiet: bool | None = None
    verbose: str | None = None
    # Flags of build and push.
    force: bool | None = None
    nobuild: bool | None = None
    pull: bool | None = None
    push: bool | None = None
    docker: bool | None = None
    dry_run: bool | None = None
    dry: bool | None = None
    image: bool | None = None
    manifest: bool | None = None
    sign: bool | None = None
    release: str | None = None
    platforms: str | None = None
    skip_platforms: str | None = None
    dockerfile: str | None = None
    build_arg_file: tuple[str, ...] = ()
    builders: str | None = None
    builder_image: str | None = None
    builder_config: str | None = None
    builder_restart: bool | None = None
    ignore_cached: bool | None = None
    precache_images: bool | None = None
    progress: str | None = None
    sbom_scanner: str | None = None
    ssh: tuple[str, ...] = ()
    # The flag of show-tag.
    canonical: bool | None = None

    def given(self, name: str) -> bool:
        """Whether a flag was given, with whatever value."""
        return bool(getattr(self, name) != _DEFAULTS[name])

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is to be changed."""
        return bool(self.dry_run or self.dry)

    @property
    def builds_nothing(self) -> bool:
        """Whether a push takes only images that exist."""
        return bool(self.nobuild) or self.image is False

    @property
    def without_cache(self) -> bool | None:
        """Whether builds ignore the layers of earlier builds; None where build.yml decides."""
        return _either(self.disable_cache, self.enable_cache)

    @property
    def with_network(self) -> bool | None:
        """Whether RUN steps have a network; None where build.yml decides."""
        return _either(self.network, self.nonetwork)

    @property
    def without_trust(self) -> bool | None:
        """Whether nothing is signed; None where build.yml and the settings decide."""
        return _either(self.disable_content_trust, self.enable_content_trust)


_DEFAULTS = {field.name: field.default for field in fields(PkgFlags)}


def flag_name(name: str) -> str:
    """A flag as users write it: --skip-platforms for skip_platforms."""
    return f"--{name.replace('_', '-')}"


def _either(flag: bool | None, opposite: bool | None) -> bool | None:
    """The value of a flag, else the contrary of its opposite; None where neither is given."""
    if flag is not None:
        return flag
    return None if opposite is None else not opposite

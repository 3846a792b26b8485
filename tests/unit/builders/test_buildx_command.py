from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from farm.builders.builder import BuildSpec
from farm.builders.buildx_command import command, to_registry
from farm.builders.buildx_plugin import DEFAULT_BUILDER, builder_for, client_environment
from farm.builders.choice import buildx_reasons, check_secrets, describe_builder, uses_buildx
from farm.errors import InputError, SettingsError
from farm.settings import Settings

SPEC = BuildSpec("arm64", tags=("registry.example.org/linuxkit/foo:1-arm64",))
PROXY = "http://user:word@proxy"


def words(spec: BuildSpec = SPEC, environment: dict[str, str] | None = None, **settings: Any) -> list[str]:
    given = Settings(**settings)
    return command(
        spec, given, DEFAULT_BUILDER, to_registry(spec, given), environment or {}, Path("metadata")
    )


def test_attestations_are_made_only_if_the_settings_ask_for_them() -> None:
    assert {"--sbom=false", "--provenance=false"} <= set(words())
    asked = words(sbom="example.org/generator:1", provenance="max")
    assert {"--sbom=generator=example.org/generator:1", "--provenance=mode=max"} <= set(asked)


def test_the_workers_proxies_are_named_on_the_command_line_without_their_values() -> None:
    spec = BuildSpec("arm64", tags=SPEC.tags, build_args=(("https_proxy", PROXY), ("http_proxy", "a")))
    shown = words(spec, {"https_proxy": PROXY, "http_proxy": "b"})
    assert "--build-arg=https_proxy" in shown
    assert "--build-arg=http_proxy=a" in shown
    assert "word" not in " ".join(shown)


def test_secrets_are_named_on_the_command_line_without_their_values() -> None:
    shown = words(build_secrets=(("a", "/etc/a, b"), ("c", "env:TOKEN")), build_ssh=("default", "k=/key"))
    wanted = ['--secret=id=a,"src=/etc/a, b"', "--secret=id=c,env=TOKEN", "--ssh=default", "--ssh=k=/key"]
    assert [word for word in shown if word.startswith(("--secret", "--ssh"))] == wanted


def test_every_package_and_architecture_has_its_own_cache() -> None:
    shown = words(build_cache_from=("r/c/{name}:{arch}", "r/base"), build_cache_to=("r/c/{name}:{arch}",))
    assert [word for word in shown if word.startswith("--cache")] == [
        "--cache-from=type=registry,ref=r/c/foo:arm64",
        "--cache-from=type=registry,ref=r/base",
        "--cache-to=type=registry,ref=r/c/foo:arm64,mode=max,ignore-error=true",
    ]


def test_a_push_without_tls_needs_a_setting() -> None:
    assert not [word for word in words() if "insecure" in word]
    shown = words(insecure_registries=("registry.example.org",))
    assert [word for word in shown if word.endswith(",push=true,registry.insecure=true")]


def test_the_times_of_files_are_set_by_builders_that_are_not_in_an_engine(tmp_path: Path) -> None:
    dated = BuildSpec("arm64", tags=SPEC.tags, build_args=(("SOURCE_DATE_EPOCH", "7"),))
    far: dict[str, Any] = {"builders": (("linux/arm64", "far"),), "docker_config": tmp_path}

    def times(spec: BuildSpec, **settings: Any) -> bool:
        return "rewrite-timestamp=true" in to_registry(spec, Settings(**settings)).split(",")

    assert times(dated, **far)
    assert not times(SPEC, **far)
    assert not times(dated)
    folder = tmp_path / "contexts" / "meta" / hashlib.sha256(b"far").hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text("{}")
    assert not times(dated, **far)


def test_each_platform_is_built_by_the_builder_of_the_settings() -> None:
    settings = Settings(builders=(("linux/arm64", "far"),))
    assert (builder_for(settings, "arm64"), builder_for(settings, "amd64")) == ("far", DEFAULT_BUILDER)


def test_buildx_gets_the_workers_engine_and_no_variable_that_overrides_its_arguments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("FARM_BROKER", "DOCKER_CONTEXT", "BUILDX_BUILDER", "SOURCE_DATE_EPOCH", "DOCKER_TOKEN"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE", "x")
    monkeypatch.setenv("AWS_PROFILE", "helper")
    settings = Settings(
        engine="tcp://host:1",
        engine_certs=tmp_path,
        docker_config=tmp_path,
        build_secrets=(("a", "env:DOCKER_TOKEN"),),
    )
    given = client_environment(settings, DEFAULT_BUILDER)
    assert {name for name, value in given.items() if value == "x"} == {"DOCKER_TOKEN"}
    assert given["AWS_PROFILE"] == "helper"
    assert (given["DOCKER_HOST"], given["DOCKER_TLS_VERIFY"]) == ("tcp://host:1", "1")
    assert given["DOCKER_CERT_PATH"] == given["DOCKER_CONFIG"] == str(tmp_path)


def test_a_context_overrides_the_workers_engine(tmp_path: Path) -> None:
    folder = tmp_path / "contexts" / "meta" / hashlib.sha256(b"far").hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text("{}")
    given = client_environment(Settings(engine="tcp://host:1", docker_config=tmp_path), "far")
    assert given["DOCKER_CONTEXT"] == "far"
    assert "DOCKER_HOST" not in given


ASKING: dict[str, Any] = {
    "builders": (("linux/arm64", "far"),),
    "build_secrets": (("a", "/a"),),
    "build_ssh": ("default",),
    "build_cache_from": ("r/c",),
    "build_cache_to": ("r/c/{name}:{arch}",),
    "sbom": "true",
    "provenance": "min",
}


@pytest.mark.parametrize("name", ASKING)
def test_a_setting_that_needs_buildx_selects_it(name: str) -> None:
    asking = {name: ASKING[name]}
    assert uses_buildx(Settings(**asking))
    assert buildx_reasons(Settings(**asking)) == (name.replace("_", "-"),)
    with pytest.raises(SettingsError, match=f"^builder: engine does not support {name.replace('_', '-')} "):
        uses_buildx(Settings(builder="engine", **asking))


def test_the_engine_builds_unless_a_setting_needs_buildx() -> None:
    assert not uses_buildx(Settings())
    assert describe_builder(Settings()) == "engine"
    assert uses_buildx(Settings(builder="buildx"))


@pytest.mark.parametrize(
    ("asking", "message"),
    [
        ({"build_secrets": (("npm", "/no/file"),)}, "build-secrets: npm: /no/file cannot be read"),
        ({"build_secrets": (("npm", "env:NONE"),)}, "build-secrets: npm: env:NONE cannot be read"),
        ({"build_ssh": ("default",)}, "build-ssh: default: no SSH agent, SSH_AUTH_SOCK is not set"),
        ({"build_ssh": ("k=/no/key",)}, "build-ssh: k=/no/key: /no/key does not exist"),
        ({"build_ssh": ("k=/,/no/key",)}, "build-ssh: k=/,/no/key: /no/key does not exist"),
    ],
)
def test_a_secret_that_the_worker_lacks_is_reported_by_its_name(
    monkeypatch: pytest.MonkeyPatch, asking: dict[str, Any], message: str
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(InputError) as caught:
        check_secrets(Settings(**asking))
    assert caught.value.message == message


@pytest.mark.parametrize("version", ["v0.12.1", "v0.9.0", "nonsense"])
def test_a_buildx_that_is_too_old_is_refused_when_the_worker_starts(tmp_path: Path, version: str) -> None:
    plugin = tmp_path / "cli-plugins" / "docker-buildx"
    plugin.parent.mkdir()
    plugin.write_text(f"#!/bin/sh\necho github.com/docker/buildx {version} 0123\n")
    plugin.chmod(0o755)
    with pytest.raises(InputError, match=r"0\.13 or newer is needed"):
        describe_builder(Settings(builder="buildx", docker_config=tmp_path))

from __future__ import annotations

import json

from farm import __version__
from farm.builders.build_arguments import build_args, labels, proxy_args
from farm.builders.builder import BuildSpec
from farm.model import BuildYml, Reference
from tests.support.values import HASH, job, package

_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PACKAGE = package(
    yml=BuildYml(
        image="foo",
        gitrepo="https://example.org/foo",
        config='{"a":1}',
        build_args=("SHARED=package", "EQUALS=a=b"),
    ),
    reference=Reference.parse("linuxkit/foo:abc"),
    hash="abc",
    commit=_COMMIT,
)


def test_a_package_gets_linuxkits_build_arguments() -> None:
    assert dict(build_args(_PACKAGE, (), 1700000000.0)) == {
        "SOURCE": "https://example.org/foo",
        "REVISION": _COMMIT,
        "GOPKGVERSION": "v0.0.0-20231114221320-0123456789ab",
        "PKG_HASH": "abc",
        "PKG_IMAGE": "linuxkit/foo",
        "SHARED": "package",
        "EQUALS": "a=b",
    }


def test_the_source_is_linuxkits_unless_build_yml_names_another_or_a_blank_one() -> None:
    for gitrepo, source in ((BuildYml("foo").gitrepo, "https://github.com/linuxkit/linuxkit"), ("", None)):
        one = _PACKAGE._replace(yml=_PACKAGE.yml._replace(gitrepo=gitrepo))
        assert dict(build_args(one, ())).get("SOURCE") == source
        assert dict(labels(one)).get("org.opencontainers.image.source") == source


def test_the_image_argument_is_in_the_words_of_the_organisation() -> None:
    for org in ("docker.io/linuxkit", "library", "localhost:5000/me"):
        one = _PACKAGE._replace(yml=_PACKAGE.yml._replace(org=org))
        assert dict(build_args(one, ()))["PKG_IMAGE"] == f"{org}/foo"


def test_a_packages_own_arguments_override_the_settings_and_linuxkits() -> None:
    overriding = _PACKAGE._replace(yml=_PACKAGE.yml._replace(build_args=("SOURCE=mine", "SHARED=mine")))
    args = dict(build_args(overriding, (("SHARED", "site"), ("SITE", "site"))))
    assert (args["SOURCE"], args["SHARED"], args["SITE"]) == ("mine", "mine", "site")


def test_the_times_in_an_image_are_that_of_the_last_change_unless_somebody_sets_them() -> None:
    def epoch(*own: str, site: str = "") -> str | None:
        one = _PACKAGE._replace(yml=_PACKAGE.yml._replace(build_args=own))
        args = build_args(one, [("SOURCE_DATE_EPOCH", site)] if site else [], 1700000000.0, 1600000000)
        return dict(args).get("SOURCE_DATE_EPOCH")

    assert epoch() == "1600000000"
    assert epoch(site="7") == "7"
    assert epoch("SOURCE_DATE_EPOCH=8", site="7") == "8"


def test_a_dirty_package_has_no_revision_and_no_time() -> None:
    dirty = _PACKAGE._replace(dirty=True)
    made = dict(build_args(dirty, (), 1700000000.0, 1600000000))
    assert not {"REVISION", "GOPKGVERSION", "SOURCE_DATE_EPOCH"} & made.keys()
    assert "org.opencontainers.image.revision" not in dict(labels(dirty))


def test_an_image_has_linuxkits_labels() -> None:
    assert dict(labels(_PACKAGE)) == {
        "org.opencontainers.image.source": "https://example.org/foo",
        "org.opencontainers.image.revision": _COMMIT,
        "org.mobyproject.config": '{"a":1}',
        "org.mobyproject.linuxkit.version": __version__,
        "org.mobyproject.linuxkit.revision": "unknown",
    }


def test_proxies_are_passed_on_unchanged_and_nothing_else_is() -> None:
    environment = {"http_proxy": "http://a", "NO_PROXY": "", "PATH": "/bin", "ALL_PROXY": "socks://b"}
    assert dict(proxy_args(environment)) == {
        "http_proxy": "http://a",
        "NO_PROXY": "",
        "ALL_PROXY": "socks://b",
    }


def test_a_job_is_built_for_its_architecture_under_that_architectures_tag() -> None:
    query = BuildSpec.of(job("arm64")).query()
    assert ("platform", "linux/arm64") in query
    assert ("t", f"localhost:1/linuxkit/foo:{HASH}-arm64") in query


def test_steps_have_a_network_only_if_the_package_asks_for_it() -> None:
    assert ("networkmode", "none") in BuildSpec.of(job()).query()
    assert "networkmode" not in dict(BuildSpec.of(job(network=True)).query())


def test_the_times_of_files_are_set_only_where_containerd_stores_images_and_a_time_is_given() -> None:
    dated = BuildSpec.of(job(build_args=(("SOURCE_DATE_EPOCH", "7"),)))
    (output,) = json.loads(dict(dated.query(containerd=True))["outputs"])
    assert output["Attrs"] == {"name": dated.tags[0], "rewrite-timestamp": "true"}
    assert "outputs" not in dict(dated.query())
    assert "outputs" not in dict(BuildSpec.of(job()).query(containerd=True))


def test_the_jobs_proxy_overrides_the_workers() -> None:
    spec = BuildSpec.of(
        job(build_args=(("http_proxy", "job"),)), proxies=(("http_proxy", "worker"), ("no_proxy", "x"))
    )
    assert dict(spec.build_args) == {"http_proxy": "job", "no_proxy": "x"}

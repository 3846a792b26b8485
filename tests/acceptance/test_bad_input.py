"""Bad input and missing services: one line and an exit code, and nothing is changed."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from farm.state.run_list import list_runs
from farm.state.store import Store
from tests.support.farm_command import BUSYBOX, FARM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.farm_command import Answer, Workspace

NOBODY = "1"
"""A port on which nothing listens."""
NO_NOTARY = {"FARM_NOTARY_SERVER": f"https://localhost:{NOBODY}"}


@pytest.fixture(scope="module")
def workspace(lasting: Workspace) -> Workspace:
    """One good package, and several bad ones; the private Redis is up."""
    made = lasting
    made.done("status")
    made.write("good")
    made.write("unprepared")
    made.write("overlapping", build_yml="image: overlapping\nextra-sources: ['../good:x', '../linked:x']\n")
    made.write("linked")
    (made.directory / "linked" / "Dockerfile").unlink()
    (made.directory / "linked" / "Dockerfile").symlink_to("../good/Dockerfile")
    made.commit()
    made.write("unknown", build_yml="image: unknown\nnetwrk: true\n")
    made.write("broken", build_yml="image: [broken\n")
    made.write("dirty")
    made.write("mips", arches="mips")
    made.write("changing")
    made.write("changing", build_yml="image: changing\nnetwork: true\n")
    (made.directory / "dirty" / "more").write_text("not committed")
    (made.directory / "empty").mkdir()
    made.done("trust", "init", "good")
    return made


def refused(workspace: Workspace, answer: Answer, code: int, *words: str) -> None:
    """The command failed with one line with these words and with this code, and changed nothing."""
    assert answer.code == code, (answer.out, answer.err)
    assert answer.err.startswith("farm: ")
    assert len(answer.err.splitlines()) == 1
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.err
    assert workspace.repositories() == []
    with closing(Store(workspace.state.broker)) as store:
        assert list_runs(store) == []


REFUSED: dict[str, tuple[str, dict[str, str], int, list[str]]] = {
    "no build.yml": ("good empty", {}, 2, ["empty", "no build.yml"]),
    "no such directory": ("good nowhere", {}, 2, ["nowhere"]),
    "a build.yml that differs at the other commit": (
        "--hash-commit HEAD~1 changing",
        {},
        2,
        ["changing: build.yml is different at HEAD~1"],
    ),
    "an unknown field": ("good unknown", {}, 2, ["unknown/build.yml:2", "netwrk", "network"]),
    "bad YAML": ("good broken", {}, 2, ["broken/build.yml:"]),
    "uncommitted changes": ("good dirty", {}, 2, ["dirty", "uncommitted"]),
    "a name that nobody prepared for signing": ("unprepared", {}, 4, ["farm trust init", "/unprepared"]),
    "extra sources in one place": (
        "--no-sign overlapping",
        {},
        2,
        ["overlapping: the extra source linked overwrites", "x"],
    ),
    "a Dockerfile that is linked out": ("linked", {}, 2, ["linked: its Dockerfile", "../good/Dockerfile"]),
    "an unknown architecture": ("--arches amd64,s390 good", {}, 2, ["s390"]),
    "an architecture that no engine can build": ("mips", {}, 2, ["mips"]),
    "no registry": (
        "good",
        {"FARM_ORG": f"localhost:{NOBODY}/linuxkit"},
        3,
        [f"localhost:{NOBODY}", "cannot be reached"],
    ),
    "no notary server": ("good", NO_NOTARY, 3, [f"https://localhost:{NOBODY}"]),
    "no Redis": ("good", {"FARM_BROKER": f"redis://127.0.0.1:{NOBODY}/0"}, 3, ["Redis"]),
    "an unknown setting": ("good", {"FARM_BROKR": "x"}, 2, ["FARM_BROKR", "FARM_BROKER"]),
}
"""The words of a push, the variables that differ, its exit code, and what its one line says."""


@pytest.mark.parametrize("case", REFUSED)
def test_a_push_that_cannot_succeed_is_refused_with_the_reason_and_so_is_its_plan(
    workspace: Workspace, case: str
) -> None:
    words, variables, code, said = REFUSED[case]
    answer = workspace.farm("push", *words.split(), **variables)
    refused(workspace, answer, code, *said)
    plan = workspace.farm("plan", *words.split(), **variables)
    assert (plan.code, plan.err) == (answer.code, answer.err)


def test_a_plan_lists_what_would_be_done_and_then_every_refusal(workspace: Workspace) -> None:
    answer = workspace.farm(
        "plan", "--json", "good", "unprepared", "overlapping", FARM_SIGNING_PASSPHRASE="no"
    )
    assert answer.code == 2
    assert [item["package"] for item in answer.json["packages"]] == [
        f"{workspace.org}/{name}" for name in ("good", "unprepared", "overlapping")
    ]
    said = [refusal["message"] for refusal in answer.json["refusals"]]
    assert len(said) == len(answer.err.splitlines()) == 4
    for part, refusal in zip(
        ("overwrites x/Dockerfile", "unprepared", "overlapping", "passphrase"), said, strict=True
    ):
        assert part in refusal


@pytest.mark.parametrize(
    ("variable", "value", "code", "said"),
    [
        ("FARM_SIGNING_PASSPHRASE", "wrong", 4, ["passphrase"]),
        ("FARM_SIGNING_KEY", "", 4, ["signing-key", "--no-sign"]),
        ("FARM_ENGINE", "unix:///no/such/engine.sock", 3, ["/no/such/engine.sock"]),
    ],
)
def test_a_private_farm_that_cannot_build_and_sign_is_refused_with_the_reason(
    workspace: Workspace, variable: str, value: str, code: int, said: list[str]
) -> None:
    alone = {"FARM_STATE_DIR": f"{workspace.variables['FARM_STATE_DIR']}{variable[-4:]}"}
    refused(workspace, workspace.farm("push", "good", **{variable: value}, **alone), code, *said)
    assert workspace.done("status", "--json", **alone).json == []


def test_all_selects_the_packages_of_a_directory_that_also_holds_a_file(workspace: Workspace) -> None:
    """As in LinuxKit's repository, whose pkg/ has a Makefile."""
    (workspace.directory / "good" / "Makefile").touch()
    refused(
        workspace, workspace.farm("push", "good/Makefile"), 2, "is a file, not a package directory", "--all"
    )
    (workspace.directory / "good" / "Makefile").unlink()
    alone = workspace.done("show-tag", "good").out
    for verb in ("show-tag", "plan"):
        assert alone.strip() in workspace.done(verb, "--all", "good").out
    answer = workspace.farm("push", "--all", ".", "--dev")
    assert answer.code == 2
    assert [line.split(":")[1].strip() for line in answer.err.splitlines()] == [
        "broken/build.yml",
        "mips/build.yml",
        "unknown/build.yml",
    ]


def test_a_package_that_is_not_in_git(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "build.yml").write_text("image: loose\n")
    (tmp_path / "Dockerfile").write_text(BUSYBOX)
    refused(workspace, workspace.farm("push", str(tmp_path)), 2, "git")


def test_the_registry_refuses_the_login(workspace: Workspace, tmp_path: Path) -> None:
    host = workspace.lab.guarded_registry
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": "ZmFybTp3cm9uZw=="}}}))
    answer = workspace.farm("push", "good", FARM_ORG=f"{host}/linuxkit", DOCKER_CONFIG=str(tmp_path))
    refused(workspace, answer, 4, host, "docker login")


@pytest.mark.parametrize("verb", ["status", "doctor", "push", "workers"])
def test_a_password_that_breaks_the_brokers_url_is_not_shown(workspace: Workspace, verb: str) -> None:
    words = [verb, *(["good"] if verb == "push" else [])]
    answer = workspace.farm(*words, FARM_BROKER="rediss://:s3cr/etPass@h:6379/0")
    refused(workspace, answer, 2, "FARM_BROKER: must be a redis:// or rediss:// URL", "percent-encode")
    assert "s3cr" not in answer.out + answer.err


def test_a_mistyped_directory_gets_no_keys_and_no_server_is_asked(workspace: Workspace) -> None:
    answer = workspace.farm("trust", "init", "good", "pkg/god", **NO_NOTARY)
    refused(workspace, answer, 2, "pkg/god: neither a package directory nor a name with its registry")
    there = workspace.farm("trust", "init", "good", **NO_NOTARY)
    assert (there.code, there.out) == (3, f"{workspace.org}/good  not prepared\n")


def test_with_json_an_error_is_printed_on_standard_output_too(workspace: Workspace) -> None:
    answer = workspace.farm("push", "nowhere", "--json")
    refused(workspace, answer, 2, "nowhere")
    assert answer.json["error"]["kind"] == "BuildYmlError"


def test_debug_prints_the_traceback(workspace: Workspace) -> None:
    answer = workspace.farm("--debug", "push", "empty")
    assert answer.code == 2
    assert "Traceback" in answer.err


def test_doctor_reports_each_part_that_fails(workspace: Workspace) -> None:
    well = workspace.done("doctor", "--json").json
    assert all(finding["ok"] for finding in well), well
    ill = workspace.farm(
        "doctor", "--json", FARM_ENGINE="unix:///no/such/engine.sock", FARM_SIGNING_PASSPHRASE="no"
    )
    assert ill.code == 3
    assert {finding["part"] for finding in ill.json if not finding["ok"]} == {"engine", "signing key"}


def test_an_unknown_verb_or_flag_is_a_usage_error(workspace: Workspace) -> None:
    assert workspace.farm("pusch").code == 2
    assert workspace.farm("push", "--no-such-flag", "good").code == 2


def test_a_reader_that_closes_the_pipe_causes_no_traceback(workspace: Workspace) -> None:
    script = f"set -o pipefail; {FARM} --help | true"
    done = subprocess.run(
        ["bash", "-c", script], env=workspace.environment(), capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr

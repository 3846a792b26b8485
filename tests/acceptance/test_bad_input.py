"""Bad input and missing services: one line and an exit code, and nothing is changed."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import NewWorkspace
    from tests.support.farm_command import Answer, Workspace

PLAIN = "ARG REGISTRY\nFROM ${REGISTRY}/library/busybox:1.36\n"
NOBODY = "1"
"""A port on which nothing listens."""


@pytest.fixture(scope="module")
def workspace(new_workspace: NewWorkspace) -> Workspace:
    """One good package, and several bad ones."""
    made = new_workspace()
    made.write("good", Dockerfile=PLAIN)
    made.write("unknown", Dockerfile=PLAIN, build_yml="image: unknown\nnetwrk: true\n")
    made.write("broken", Dockerfile=PLAIN, build_yml="image: [broken\n")
    made.write("dirty", Dockerfile=PLAIN)
    made.write("changing", Dockerfile=PLAIN)
    made.write("changing", Dockerfile=PLAIN, build_yml="image: changing\nnetwork: true\n")
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
    assert workspace.done("status", "--json").json == []


def test_no_build_yml(workspace: Workspace) -> None:
    refused(workspace, workspace.farm("push", "good", "empty"), 2, "empty", "no build.yml")


def test_no_such_directory(workspace: Workspace) -> None:
    refused(workspace, workspace.farm("push", "good", "nowhere"), 2, "nowhere")


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
        "unknown/build.yml",
    ]


def test_a_build_yml_that_differs_at_the_other_commit_is_refused(workspace: Workspace) -> None:
    refused(
        workspace,
        workspace.farm("push", "--hash-commit", "HEAD~1", "changing"),
        2,
        "changing: build.yml is different at HEAD~1",
    )


def test_an_unknown_field_is_reported_with_its_line_and_a_suggestion(workspace: Workspace) -> None:
    refused(
        workspace, workspace.farm("push", "good", "unknown"), 2, "unknown/build.yml:2", "netwrk", "network"
    )


def test_bad_yaml_is_reported_with_its_line(workspace: Workspace) -> None:
    refused(workspace, workspace.farm("push", "good", "broken"), 2, "broken/build.yml:")


def test_uncommitted_changes(workspace: Workspace) -> None:
    refused(workspace, workspace.farm("push", "good", "dirty"), 2, "dirty", "uncommitted")


def test_a_package_that_is_not_in_git(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "build.yml").write_text("image: loose\n")
    (tmp_path / "Dockerfile").write_text(PLAIN)
    refused(workspace, workspace.farm("push", str(tmp_path)), 2, "git")


def test_an_unknown_architecture(workspace: Workspace) -> None:
    refused(workspace, workspace.farm("push", "--arches", "amd64,s390", "good"), 2, "s390")


def test_an_engine_that_cannot_build_an_architecture(workspace: Workspace) -> None:
    workspace.write("mips", Dockerfile=PLAIN, build_yml="image: mips\narches: [mips]\n")
    refused(workspace, workspace.farm("push", "mips"), 2, "mips")


def test_the_registry_is_down(workspace: Workspace) -> None:
    answer = workspace.farm("push", "good", FARM_ORG=f"localhost:{NOBODY}/linuxkit")
    refused(workspace, answer, 3, f"localhost:{NOBODY}", "cannot be reached")


def test_the_registry_refuses_the_login(workspace: Workspace, tmp_path: Path) -> None:
    host = workspace.lab.guarded_registry
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": "ZmFybTp3cm9uZw=="}}}))
    answer = workspace.farm("push", "good", FARM_ORG=f"{host}/linuxkit", DOCKER_CONFIG=str(tmp_path))
    refused(workspace, answer, 4, host, "docker login")


def test_the_notary_server_is_down(workspace: Workspace) -> None:
    answer = workspace.farm("push", "good", FARM_NOTARY_SERVER=f"https://localhost:{NOBODY}")
    refused(workspace, answer, 3, f"https://localhost:{NOBODY}")


def test_the_passphrase_is_wrong(workspace: Workspace) -> None:
    answer = workspace.farm("push", "good", FARM_SIGNING_PASSPHRASE="not the passphrase")
    refused(workspace, answer, 4, "passphrase")


def test_there_is_no_key_to_sign_with(workspace: Workspace) -> None:
    answer = workspace.farm("push", "good", FARM_SIGNING_KEY="")
    refused(workspace, answer, 4, "signing-key", "--no-sign")


def test_the_engine_is_down(workspace: Workspace) -> None:
    answer = workspace.farm("push", "good", FARM_ENGINE="unix:///no/such/engine.sock")
    refused(workspace, answer, 3, "/no/such/engine.sock")


def test_redis_is_down(workspace: Workspace) -> None:
    answer = workspace.farm("push", "good", FARM_BROKER=f"redis://127.0.0.1:{NOBODY}/0")
    refused(workspace, answer, 3, "Redis")


def test_an_unknown_setting(workspace: Workspace) -> None:
    refused(workspace, workspace.farm("push", "good", FARM_BROKR="x"), 2, "FARM_BROKR", "FARM_BROKER")


@pytest.mark.parametrize("verb", ["status", "doctor", "push", "workers"])
def test_a_password_that_breaks_the_brokers_url_is_not_shown(workspace: Workspace, verb: str) -> None:
    words = [verb, *(["good"] if verb == "push" else [])]
    answer = workspace.farm(*words, FARM_BROKER="rediss://:s3cr/etPass@h:6379/0")
    refused(workspace, answer, 2, "FARM_BROKER: must be a redis:// or rediss:// URL", "percent-encode")
    assert "s3cr" not in answer.out + answer.err


def test_a_mistyped_directory_gets_no_keys_and_no_server_is_asked(workspace: Workspace) -> None:
    nowhere = {"FARM_NOTARY_SERVER": f"https://localhost:{NOBODY}"}
    answer = workspace.farm("trust", "init", "good", "pkg/god", **nowhere)
    refused(workspace, answer, 2, "pkg/god: neither a package directory nor a name with its registry")
    there = workspace.farm("trust", "init", "good", **nowhere)
    assert (there.code, there.out) == (3, f"{workspace.org}/good  not prepared\n")


def test_with_json_an_error_is_printed_on_standard_output_too(workspace: Workspace) -> None:
    answer = workspace.farm("push", "nowhere", "--json")
    refused(workspace, answer, 2, "nowhere")
    assert answer.json["error"]["kind"] == "BuildYmlError"


def test_debug_prints_the_traceback(workspace: Workspace) -> None:
    answer = workspace.farm("--debug", "push", "empty")
    assert answer.code == 2
    assert "Traceback" in answer.err


def test_a_name_that_was_never_prepared_for_signing_gets_no_index(workspace: Workspace) -> None:
    """The builds are kept, nothing is published, and the hint names the administrator's verb."""
    workspace.write("unprepared", Dockerfile=PLAIN, build_yml="image: unprepared\narches: [amd64]\n")
    answer = workspace.farm("push", "unprepared")
    assert answer.code == 4
    assert f"farm trust init {workspace.org}/unprepared" in answer.err
    assert [tag.rpartition("-")[2] for tag in workspace.tags("unprepared")] == ["amd64"]


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
    script = f"set -o pipefail; {workspace_farm()} --help | true"
    done = subprocess.run(
        ["bash", "-c", script], env=workspace.environment(), capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr


def workspace_farm() -> str:
    """The command's path."""
    from tests.support.farm_command import FARM  # noqa: PLC0415 - beside its one use

    return FARM

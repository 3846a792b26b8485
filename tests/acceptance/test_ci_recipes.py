"""The recipes in config/ci publish a repository, when their steps are run as GitHub and GitLab run them."""

from __future__ import annotations

import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab.machine import ROOT
from tests.support.remote_farm import RemoteFarm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.acceptance.conftest import NewWorkspace

CI = ROOT / "config" / "ci"
_EXPRESSION = re.compile(r"\$\{\{ ([\w.]+) \}\}")


@pytest.fixture(scope="module")
def farm(new_workspace: NewWorkspace, module_broker: str) -> Iterator[RemoteFarm]:
    with closing(RemoteFarm(new_workspace(), module_broker)) as farm, farm.serving("amd64"):
        farm.workspace.variables["FARM_SIGN"] = "false"
        yield farm


def run(farm: RemoteFarm, script: str, variables: Mapping[str, str]) -> str:
    """Run the script of a step, or of a job, in the repository."""
    program = Path(farm.workspace.program).parent
    environment = farm.workspace.environment(**variables)
    environment["PATH"] = f"{program}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=farm.workspace.directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def given(farm: RemoteFarm, home: Path) -> dict[str, str]:
    """What the owner of the repository has set, by the names that GitHub's expressions have."""
    own = farm.workspace.variables
    return {
        "vars.FARM_ORG": farm.workspace.org,
        "secrets.FARM_BROKER": farm.broker_of("push"),
        "secrets.FARM_ORDER_KEY": Path(own["FARM_ORDER_KEY"]).read_text().strip(),
        "secrets.FARM_POLICY": Path(own["FARM_POLICY"]).read_text().strip(),
        "runner.temp": str(home),
    }


def filled(variables: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    return {name: _EXPRESSION.sub(lambda found: values[found[1]], text) for name, text in variables.items()}


def test_the_recipe_for_github_publishes_and_a_job_that_is_run_again_finds_its_run(
    farm: RemoteFarm, tmp_path: Path
) -> None:
    farm.workspace.write("on-github", arches="amd64")
    recipe: Any = yaml.safe_load((CI / "github-actions.yml").read_text())
    steps = {step["name"]: step for step in recipe["jobs"]["push"]["steps"] if "name" in step}
    assert list(steps) == ["install", "credentials", "push"]
    own = {"RUNNER_TEMP": str(tmp_path), "GITHUB_REPOSITORY": "me/os", "GITHUB_RUN_ID": "7"}
    values = given(farm, tmp_path)
    for name in ("credentials", "push"):
        printed = run(farm, steps[name]["run"], own | filled(steps[name].get("env", {}), values))
    assert re.search(r"run r\d+-\w+: done", printed)
    assert len(farm.workspace.tags("on-github")) == 2
    # The same job again: what it finds published, it leaves alone.
    again = run(farm, steps["push"]["run"], own | filled(steps["push"]["env"], values))
    assert "nothing to do" in again
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_recipe_for_gitlab_publishes(farm: RemoteFarm, tmp_path: Path) -> None:
    farm.workspace.write("on-gitlab", arches="amd64")
    job: Any = yaml.safe_load((CI / "gitlab-ci.yml").read_text())["farm"]
    files = {}
    for name in ("FARM_ORDER_KEY", "FARM_POLICY"):
        files[name] = tmp_path / name
        files[name].write_text(Path(farm.workspace.variables[name]).read_text())
        files[name].chmod(0o666)
    script = "\n".join(job["script"]).replace("/tmp/", f"{tmp_path}/own-")  # noqa: S108
    variables = {"CI_PROJECT_PATH": "me/os", "CI_PIPELINE_ID": "8", "FARM_BROKER": farm.broker_of("push")}
    printed = run(farm, script, variables | {name: str(path) for name, path in files.items()})
    assert re.search(r"run r\d+-\w+: done", printed)
    assert len(farm.workspace.tags("on-gitlab")) == 2

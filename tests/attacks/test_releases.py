"""A release, and an unsigned index, have what the workers attest, whatever their tags say by then.

The attacker may push to the registry.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.model import Platform
from farm.registry.index import Index
from farm.state.run_handles import RunHandle
from tests.support.attacker import ended, push, reference_of, work_of
from tests.support.farm_command import BUSYBOX
from tests.support.remote_farm import Sleep

if TYPE_CHECKING:
    from tests.support.attacker import Attacker
    from tests.support.remote_farm import RemoteFarm


def test_a_tag_that_is_overwritten_before_its_release_is_not_released(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    """With the honest images alone, one of which is listed for another architecture, too."""
    run, digest = push(farm, package)
    target = work_of(farm, run).reference
    step, slow = Sleep(), f"{package}-slow"
    farm.workspace.write(slow, arches="amd64", Dockerfile=f"{BUSYBOX}RUN {step.command}\n")
    farm.done("trust", "init", slow)
    words = ("push", "--detach", "--json", "--release", "v9", package, slow)
    release = RunHandle(farm.store, str(farm.done(*words).json["run"]))
    step.wait()
    honest = Index.parse(attacker.registry.existing(target).body).manifests
    again = replace(honest[0], platform=Platform("s390x"))
    attacker.index(target, *honest, again)
    step.finish()
    error = str(ended(release).packages["release v9"].error)
    assert f"{digest} is signed: it was overwritten" in error
    for tag in (target.with_tag("v9"), reference_of(farm, slow).with_tag("v9")):
        assert attacker.published(tag) is None
        assert attacker.signed(tag) is None


def test_an_index_that_is_not_signed_gets_no_foreign_member_either(
    farm: RemoteFarm, attacker: Attacker, package: str
) -> None:
    target = reference_of(farm, package)
    evil = attacker.image(target, "s390x", "evil")
    planted = attacker.tagged(target.for_arch("amd64"), "amd64", "evil")
    attacker.index(target, evil, planted, replace(planted, platform=Platform("arm64", variant="v9")))
    farm.done("push", "--no-sign", package)
    assert not attacker.members(target) & {evil.digest, planted.digest}

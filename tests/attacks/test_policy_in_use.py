"""A maintainer orders what the policy lets him order, whatever he signs and writes into Redis.

The attackers are maintainers of other names, without releases, or with a key that was removed. They hold the
farm's only Redis login and a registry login, too.
"""

from __future__ import annotations

import io
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.attestation.worker_key import create_worker_key
from farm.model import Copy, Job, PackageWork, Reference
from farm.model.run import Run, canonical
from farm.scheduling import dispatch
from farm.scheduling.celery_app import Priority
from farm.state.contexts import put_context
from tests.support.attacker import ended
from tests.support.values import digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.attacker import Attacker
    from tests.support.remote_farm import RemoteFarm


def reference(farm: RemoteFarm, name: str) -> Reference:
    return Reference.parse(f"{farm.workspace.org}/{name}{secrets.token_hex(4)}:{'a' * 40}")


def run_of(named: Reference, *, created: float | None = None, **job: Any) -> Run:
    """A run that builds one package."""
    run = f"r8{secrets.randbelow(10**6)}-evil"
    only = Job(run, "p", named, "amd64", "a" * 40, "a" * 40, "{{.Hash}}", digest("context"), context_size=9)
    work = PackageWork("p", named, ("amd64",), (replace(only, **job),), sign=False, tree="a" * 40)
    return Run(run, "evil@host", time.time() if created is None else created, (work,))


def error_of(attacker: Attacker, run: Run, key: str) -> str:
    """Why a run was not carried out."""
    (only,) = ended(attacker.submit(run, key)).packages.values()
    assert not only.state.succeeded
    return str(only.error)


def test_a_maintainer_of_other_names_has_nothing_built(farm: RemoteFarm, attacker: Attacker) -> None:
    assert "bob may not order" in error_of(attacker, run_of(reference(farm, "p")), "bob")


def test_a_maintainer_cannot_order_his_own_package_and_have_anothers_built(
    farm: RemoteFarm, attacker: Attacker
) -> None:
    """The policy allows the package; its job names another reference."""
    victim = reference(farm, "victim")
    run = run_of(reference(farm, "bob"), reference=victim)
    assert "of another run or package" in error_of(attacker, run, "bob")
    assert attacker.published(victim.for_arch("amd64")) is None


def test_a_maintainer_who_may_not_release_releases_nothing(farm: RemoteFarm, attacker: Attacker) -> None:
    source = reference(farm, "p")
    attacker.index(source, attacker.image(source, "amd64", "any"))
    release = PackageWork(
        "release v9",
        source.with_tag("v9"),
        arches=(),
        copies=(Copy(source, "v9", sign=False, tree="a" * 40),),
        sign=False,
    )
    run = Run(f"r8{secrets.randbelow(10**6)}-evil", "carol", time.time(), (release,))
    assert "carol may not release" in error_of(attacker, run, "carol")
    assert attacker.published(source.with_tag("v9")) is None


def test_who_may_not_release_pushes_no_own_image_that_the_index_would_adopt(
    farm: RemoteFarm, attacker: Attacker
) -> None:
    """The rights are looked at before anything is in the registry."""
    space, name = farm.workspace, f"p{secrets.token_hex(4)}"
    space.write(name, arches="amd64")
    space.done("pkg", "build", name)
    own = {"FARM_BROKER": farm.broker_of(), "FARM_ORDER_KEY": str(attacker.key_of("carol"))}
    refused = space.farm("pkg", "push", "-nobuild", "-disable-content-trust", name, **own)
    assert (refused.code, "carol may not release or adopt" in refused.err) == (4, True)
    assert space.all_tags(name) == []
    space.done("pkg", "push", "-nobuild", "-disable-content-trust", name, FARM_BROKER=farm.broker_of())
    assert space.tags(name) == [space.tag(name), f"{space.tag(name)}-amd64"]


def test_what_a_removed_key_orders_after_its_end_is_not_built(farm: RemoteFarm, attacker: Attacker) -> None:
    assert "the policy has removed this key of dave" in error_of(
        attacker, run_of(reference(farm, "p")), "dave"
    )


@pytest.mark.parametrize(("seconds", "said"), [(-366 * 86400, "has expired"), (86400, "from the future")])
def test_an_order_of_another_time_is_not_carried_out(
    farm: RemoteFarm, attacker: Attacker, seconds: float, said: str
) -> None:
    """An honest maintainer has signed it."""
    run = run_of(reference(farm, "p"), created=time.time() + seconds)
    assert said in error_of(attacker, run, "alice")


def test_a_maintainer_retries_nothing_that_he_may_not_order(farm: RemoteFarm, attacker: Attacker) -> None:
    run = attacker.submit(run_of(reference(farm, "p")), "bob")
    ended(run)
    before = farm.runs()
    answer = farm.run("retry", run.id, "--detach", "--queue-anyway")
    assert "bob may not order" in answer.err
    own = attacker.submit(run_of(reference(farm, "p")), "alice")
    ended(own)
    answer = farm.workspace.farm(
        "retry", own.id, "--detach", FARM_BROKER=farm.broker, FARM_ORDER_KEY=str(attacker.key_of("bob"))
    )
    assert "bob may not order" in answer.err
    assert set(farm.runs()) == {*before, own.id}


def test_a_retry_repeats_what_was_signed_and_not_what_redis_says_now(
    farm: RemoteFarm, attacker: Attacker
) -> None:
    run = run_of(reference(farm, "p"))
    handle = attacker.submit(run, "alice")
    ended(handle)
    (work,) = run.works
    evil = replace(work, jobs=tuple(replace(job, dockerfile="Evil") for job in work.jobs))
    farm.store.text.hset(handle.key("works"), "p", canonical(evil.to_json()).decode())
    answer = farm.run("retry", handle.id, "--detach")
    assert (answer.code != 0, "is not what the order of" in answer.err) == (True, True)


@pytest.mark.parametrize("tag", ["A" * 40, "a" * 39, "a" * 41, "latest"])
def test_no_form_of_a_tag_makes_an_order_unnecessary(farm: RemoteFarm, attacker: Attacker, tag: str) -> None:
    named = reference(farm, "p").with_tag(tag)
    run = run_of(named, hash=tag, tree=tag, tag=tag)
    assert "the key that signed the order is not in the policy" in error_of(attacker, run, "")
    assert attacker.published(named.for_arch("amd64")) is None


def test_another_context_under_the_digest_of_the_order_is_not_built(
    farm: RemoteFarm, attacker: Attacker
) -> None:
    stored = secrets.token_bytes(9)
    wanted = digest(secrets.token_hex(4))
    put_context(farm.store, wanted, io.BytesIO(stored), keep=60)
    run = run_of(reference(farm, "p"), context=wanted)
    assert "context" in error_of(attacker, run, "alice")


def test_the_messages_of_a_run_that_has_ended_do_nothing_again(farm: RemoteFarm, attacker: Attacker) -> None:
    run = run_of(reference(farm, "p"))
    handle = attacker.submit(run, "alice")
    ended(handle)
    before = farm.store.text.hgetall(handle.key("records"))
    (work,) = run.works
    dispatch.send_job(attacker.app, work.jobs[0], Priority.NEW)
    dispatch.send_publication(attacker.app, run.id, work, [], Priority.NEW)
    # The workers take one message after another.
    ended(attacker.submit(run_of(reference(farm, "p")), "alice"))
    assert farm.store.text.hgetall(handle.key("records")) == before


def test_a_worker_whose_key_the_policy_does_not_name_does_not_start(farm: RemoteFarm, tmp_path: Path) -> None:
    create_worker_key(tmp_path / "key.pem")
    answer = farm.workspace.farm(
        "worker", "--arch", "amd64", FARM_BROKER=farm.broker, FARM_WORKER_KEY=str(tmp_path / "key.pem")
    )
    assert answer.code != 0
    assert "the policy does not name this worker's key for amd64" in answer.err

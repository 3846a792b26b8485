"""A notary server that fails in many ways: nothing is lost, and failures to sign are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.model import Reference
from farm.settings import Secret
from farm.trust.notary.keys import SigningKey
from farm.trust.notary.sign_targets import sign_targets
from farm.trust.notary.verify import read_signatures
from farm.trust.signer import SignTarget
from tests.fault.network.outcome import assert_done, assert_failed, assert_published, write
from tests.fault.phases import PUSHING
from tests.support.proxy import http_faults
from tests.support.proxy.http_faults import answer

if TYPE_CHECKING:
    from tests.fault.network.conftest import Services
    from tests.fault.network.outcome import Package
    from tests.fault.rig import Rig

pytestmark = pytest.mark.timeout(900)
PUBLISHED = "_trust/tuf/$"
HEALING = {
    "n500": answer(500),
    "n503": answer(503),
    "nreset": http_faults.reset(after=10),
    "nunheard": http_faults.lost_answer(),
    "nslow": http_faults.delayed(3),
    "nsilent": http_faults.silence(),
}
"""What happens once to a publication, by the name of its package."""
DOWN = 3
"""Attempts in a row that fail."""
OTHER = SignTarget("", "other", f"sha256:{'0' * 64}", 7)


def sign_another_tag(farm: Rig, package: Package) -> None:
    """Publish in a package's collection, as a client other than the farm."""
    key = SigningKey(farm.lab.signing_key, Secret(farm.lab.signing_passphrase))
    target = OTHER._replace(name=Reference.parse(package.reference).name)
    sign_targets([target], key, farm.notary)


def test_signing_survives_every_temporary_fault_of_a_notary_server(farm: Rig, services: Services) -> None:
    packages = write(farm, *HEALING, "nconflict", "ndown")
    faults = [services.notary.breaks("POST", f"/{name}/{PUBLISHED}", act) for name, act in HEALING.items()]
    conflict = packages["nconflict"]
    between = http_faults.preceded_by(lambda: sign_another_tag(farm, conflict))
    faults.append(services.notary.breaks("POST", f"/nconflict/{PUBLISHED}", between))
    down = services.notary.breaks("POST", f"/ndown/{PUBLISHED}", http_faults.reset(), times=DOWN)
    assert_done(farm.push("push-signed", *packages))
    assert [fault.path.pattern for fault in faults if fault.hits != 1] == []
    assert down.hits == DOWN
    assert_published(farm, *packages.values())
    gun = Reference.parse(conflict.reference).name
    signed = read_signatures([gun], farm.notary)[gun].tags
    assert signed.keys() == {conflict.tag, OTHER.tag}


def test_nothing_is_built_that_could_not_be_signed(farm: Rig, services: Services) -> None:
    package = write(farm, "nforbidden")["nforbidden"]
    services.notary.breaks(".*", "/nforbidden/_trust/", answer(401), times=float("inf"))
    push = farm.push("push-forbidden", package.name)
    assert push.wait() == 4
    assert "refuses the login" in push.said()
    assert farm.run_of(package.reference) is None


def test_a_failure_to_sign_is_reported_and_a_retry_signs_without_a_build(
    farm: Rig, services: Services
) -> None:
    packages = write(farm, "nlocked", "nrefused")
    forever = float("inf")
    tags = "|".join(package.tag for package in packages.values())
    with farm.tripwire(PUSHING.backend, PUSHING.at(tag=f"({tags})", arch="amd64")) as pushing:
        pushing.left = len(packages)
        push = farm.push("push-unsigned", *packages)
        # The command has looked at the notary server.
        pushing.wait()
        run = farm.run_of(packages["nlocked"].reference)
        assert run is not None
        services.notary.breaks(".*", "/nlocked/_trust/", answer(401), times=forever)
        services.notary.breaks("POST", f"/nrefused/{PUBLISHED}", answer(401), times=forever)
    assert push.wait(240) == 4, push.said()
    assert_failed(farm, packages["nlocked"], because="refuses the login")
    assert_failed(farm, packages["nrefused"], because="refuses the login", published=True)
    services.notary.mend()
    again = farm.ask("retry", run)
    assert again.code == 0, again.err
    assert_published(farm, *packages.values())

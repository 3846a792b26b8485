"""The duration of `farm push` with nothing to do, beside a script that only asks whether the images exist."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import ExitStack, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.look_ups import ARCHES, publish
from benchmarks.measure import Ratio, ratio
from benchmarks.tags import make_repository
from farm.model import Reference
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.settings import Secret, load_settings
from farm.trust.cosign.key_files import generate_key_pair
from farm.trust.signer import SignTarget, make_signer
from lab.lab import running_lab

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.lab import Lab

_FARM = str(Path(sys.executable).with_name("farm"))
_PACKAGES = 6
_ROUNDS = 15
_SCRIPT = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1])
for path in sys.argv[2:]:
    connection.request("HEAD", path, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    response = connection.getresponse()
    response.read()
    assert response.status == 200, path
"""
"""What a plain script of the standard library does; its connection stays open."""


def rows() -> Iterator[Ratio]:
    """Six packages for three architectures, all published and signed, by cosign or by notary."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="farm-b")))
        with redirect_stdout(StringIO()):
            lab = stack.enter_context(running_lab())
        make_repository(home / "packages", _PACKAGES)
        for signer, variables in _signers(lab, home):
            yield _idle(lab, home / signer, home / "packages", variables, signer)


def _signers(lab: Lab, home: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The variables of a user with a policy, for each signer."""
    shared = lab.environment(home / "state") | lab.identity_environment()
    password = secrets.token_urlsafe(16)
    keys = generate_key_pair(home / "keys", Secret(password))
    without = {name: text for name, text in shared.items() if "NOTARY" not in name and "SIGNING" not in name}
    yield "cosign", without | {"FARM_COSIGN_KEY": str(keys.key), "FARM_COSIGN_PASSWORD": password}
    yield "notary", shared


def _idle(lab: Lab, home: Path, packages: Path, variables: Mapping[str, str], signer: str) -> Ratio:
    names = [f"pkg/p{number}" for number in range(_PACKAGES)]
    environment = os.environ | variables | {"FARM_ORG": f"{lab.registry}/{signer}"}
    run = partial(_run, packages, environment)
    shown = run(_FARM, "show-tag", *names)
    if signer == "notary":
        run(_FARM, "trust", "init", *names)
    tags = [Reference.parse(line) for line in shown.split()]
    settings = load_settings({}, environ=environment)
    with Registry(Credentials(home), timeout=30) as registry:
        indexes = {tag: publish(registry, tag) for tag in tags}
        make_signer(settings, registry).sign(SignTarget.of(tag, index) for tag, index in indexes.items())
    push = partial(run, _FARM, "push", *names)
    if "nothing to do" not in push():
        raise RuntimeError("the push has something to do")
    paths = [f"/v2/{tag.repository}/manifests/{tag.for_arch(arch).tag}" for tag in tags for arch in ARCHES]
    return ratio(
        f"push of {_PACKAGES} packages x {len(ARCHES)} with nothing to do, signed by {signer}",
        push,
        f"starting python, and {len(paths)} HEAD requests by http.client on one connection",
        partial(run, sys.executable, "-c", _SCRIPT, lab.registry, *paths),
        2.0,
        _ROUNDS,
    )


def _run(directory: Path, environment: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        words, cwd=directory, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout

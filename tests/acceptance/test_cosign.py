"""A private farm with a cosign key and no notary server; strangers verify with the public key alone."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from lab.debian import cosign

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.farm_command import Workspace


def test_a_key_pair_of_the_farm_signs_a_push_and_its_release_and_cosign_verifies_both(
    workspace: Workspace, tmp_path: Path
) -> None:
    for name in [name for name in workspace.variables if "NOTARY" in name or "SIGNING" in name]:
        del workspace.variables[name]
    created = workspace.done("trust", "key", "--cosign", str(tmp_path)).out
    (passphrase,) = re.findall(r"passphrase +(\S+)", created)
    workspace.write("plain", arches="amd64")
    key = {"FARM_COSIGN_KEY": str(tmp_path / "cosign.key"), "COSIGN_PASSWORD": passphrase}
    unsigned = "image: unsigned\narches: [amd64]\ndisable-content-trust: true\n"
    workspace.write("unsigned", build_yml=unsigned)
    workspace.done("push", "--release", "v1", "plain", "unsigned", **key)
    signed = {name: {tag[-4:] for tag in workspace.all_tags(name)} for name in ("plain", "unsigned")}
    assert signed["plain"] > {".sig", ".att"}
    assert not signed["unsigned"] & {".sig", ".att"}

    public = {"FARM_COSIGN_PUBLIC_KEY": str(tmp_path / "cosign.pub")}
    reference = workspace.reference("plain")
    release = f"{reference.rpartition(':')[0]}:v1"
    for one in (reference, release):
        verify = ["verify", "--key", str(tmp_path / "cosign.pub"), "--insecure-ignore-tlog=true", one]
        environment = {"HOME": str(tmp_path)}
        subprocess.run([cosign(), *verify], env=environment, check=True, capture_output=True, timeout=60)
    assert "published and signed" in workspace.done("plan", "plain", **public).out
    image = f"{reference}-amd64"
    workspace.done("sign", image, **key)
    assert workspace.done("inspect", "--json", image, **public).json["signature"] == "signed"
    printed = workspace.done("sign", "--print", image, **key).out
    assert printed.startswith(f"cosign sign --key {tmp_path}/cosign.key ")

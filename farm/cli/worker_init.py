"""farm worker init: the key with which a worker attests its images."""

from __future__ import annotations

import platform
import shlex
from typing import TYPE_CHECKING

import click

from farm.cli.options import with_settings
from farm.cli.output import say
from farm.model import arch_of_uname, refuse_unknown_arches
from farm.system.identity import host_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farm.settings import Settings


@click.command("init")
@click.option("--name", help="Name of the worker in the policy. Default: ARCH@HOST.")
@click.option(
    "--arch", "arches", multiple=True, metavar="ARCH", help="It builds for ARCH. Default: this machine's own."
)
@with_settings("worker_key")
def init(settings: Settings, name: str | None, arches: tuple[str, ...]) -> None:
    """Create the key with which the worker of this machine and user attests its images.

    Prints the public key, and the command with which an administrator adds it to the policy. The key itself
    never leaves the machine. A key that exists is kept, and its public key printed again.

    \b
    farm worker init
    farm worker init --name arm64@rack3 --arch arm64
    """
    from farm.trust.places import worker_key_path

    wanted = [arch for given in arches for arch in given.split(",")] or [arch_of_uname(platform.machine())]
    refuse_unknown_arches(wanted)
    path = worker_key_path(settings)
    public = _public_key(path)
    say(f"key of this worker: {path}")
    say(public)
    say("")
    say("add it to the policy of the maintainers, publishers and workers:")
    say(policy_command(name or f"{'-'.join(wanted)}@{host_name()}", wanted, public))


def policy_command(name: str, arches: Sequence[str], public: str) -> str:
    """The command that adds a worker to a policy."""
    words = [word for arch in arches for word in ("--arch", arch)]
    return shlex.join(["farm", "policy", "add", "worker", name, *words, "--key", public])


def _public_key(path: Path) -> str:
    """The public key of a key file, which is created if it is missing."""
    from farm.attestation.worker_key import create_worker_key, load_worker_key

    return load_worker_key(path).public if path.exists() else create_worker_key(path)

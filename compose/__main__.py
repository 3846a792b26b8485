"""The command behind the scripts in this directory: `compose/init` runs `python3 -m compose init`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from compose.backup import backup, restore
from compose.join import pack, this_machine, trust_registry, unpack, worker_key
from compose.keys import read_order_key
from compose.make import make_all, own_arch
from compose.policy import add_worker, signers
from compose.renew import RENEWABLE, renew
from compose.site import Site, check_host
from farm.errors import FarmError, InputError
from farm.model import ARCHES
from farm.system.identity import host_name
from farm.trust.policy import WorkerKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SOCKET = "/var/run/docker.sock"
_DOCKER_CERTS = Path("/etc/docker/certs.d")
_BESIDE_THE_KEY = (
    "a build that breaks out of its container owns this machine, and with it the signing key: "
    "for more than a trial, build on other machines (compose/bundle)"
)
_WITH_WORKER = {"COMPOSE_PROFILES": "core,registry,trust,worker,monitoring"}
_EMULATED = {"COMPOSE_PROFILES": "core,registry,trust,workers,monitoring", "EMULATE": "true"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    options = _parse(arguments)
    verb: Callable[[Site, argparse.Namespace], list[Path]] = options.verb
    try:
        for path in verb(Site(), options):
            print(f"made {os.path.relpath(path)}")
    except FarmError as error:
        print(f"compose: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # For example a file of root: the operator forgot sudo.
        where = f"{error.filename}: " if error.filename else ""
        print(f"compose: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compose", description="Administer the stack in containers.")
    words = parser.add_subparsers(required=True)
    init = words.add_parser("init", help="create .env, certificates, passwords, keys and the policy, once")
    init.set_defaults(verb=_init)
    init.add_argument("host", help="name or address under which all machines reach this one")
    about = "build here, too: a build that breaks out of its container then owns the signing key"
    init.add_argument("--worker", action="store_true", help=about)
    about = "the same for amd64, arm64 and s390x: foreign ones in QEMU, slowly"
    init.add_argument("--emulate", action="store_true", help=about)
    init.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of .env")
    about = "public SSH key of the first maintainer, such as ~/.ssh/id_ed25519.pub; none: a key pair is made"
    init.add_argument("--order-key", type=Path, metavar="FILE", help=about)
    bundle = words.add_parser("bundle", help="write a bundle for another machine's worker to standard output")
    bundle.set_defaults(verb=_bundle)
    about = "give the machine a user of Redis that takes jobs of this architecture only"
    bundle.add_argument("--arch", default="", choices=ARCHES, metavar="ARCH", help=about)
    about = "add this worker to the policy first: its name and public key, as compose/join prints them"
    bundle.add_argument("--worker", nargs=2, metavar=("NAME", "KEY"), help=about)
    join = words.add_parser("join", help="make this machine a worker")
    join.set_defaults(verb=_join)
    about = (
        "a file that compose/bundle wrote, - for standard input; none: make this worker's key, and print it"
    )
    join.add_argument("bundle", nargs="?", type=argparse.FileType("rb"), help=about)
    about = "what the worker builds; default: this machine's own architecture"
    join.add_argument("--arch", choices=ARCHES, metavar="ARCH", help=about)
    about = "replace the secrets of an earlier bundle"
    join.add_argument("--renew", action="store_true", help=about)
    renewing = words.add_parser("renew", help="replace secrets by new ones")
    renewing.set_defaults(verb=_renew)
    renewing.add_argument("names", nargs="+", choices=RENEWABLE, metavar="NAME", help=", ".join(RENEWABLE))
    saving = words.add_parser("backup", help="copy everything that must not be lost to a new directory")
    saving.set_defaults(verb=lambda site, options: backup(site, options.directory))
    restoring = words.add_parser("restore", help="restore a backup into a stack that is down and empty")
    restoring.set_defaults(verb=_restore)
    for word in (saving, restoring):
        word.add_argument("directory", type=Path)
    _add_machine([init, join], [init, join, renewing, restoring])
    return parser.parse_args(arguments)


def _add_machine(
    named: Iterable[argparse.ArgumentParser], trusting: Iterable[argparse.ArgumentParser]
) -> None:
    """Add the flags that name this machine, and that say where its engine looks for CAs."""
    for word in named:
        own = host_name().partition(".")[0]
        word.add_argument("--machine", default=own, help="this machine in its workers' names")
        word.add_argument("--socket", default=_SOCKET, help="socket of this machine's Docker Engine")
    for word in trusting:
        about = "where this machine's Docker Engine looks for the CAs of registries"
        word.add_argument("--docker-certs", type=Path, default=_DOCKER_CERTS, help=about)


def _init(site: Site, options: argparse.Namespace) -> list[Path]:
    order_key = read_order_key(options.order_key) if options.order_key else ""
    given = dict(item.partition("=")[::2] for item in options.set)
    signers(given)
    new = not site.env.exists()
    variables = site.ensure_env(
        {
            "FARM_HOST": check_host(options.host),
            **(_WITH_WORKER if options.worker else {}),
            **(_EMULATED if options.emulate else {}),
            **given,
        },
        defaults=this_machine(options.machine, options.socket),
    )
    if new and {"core", "worker"} <= {*variables["COMPOSE_PROFILES"].replace("workers", "worker").split(",")}:
        print(f"compose: {_BESIDE_THE_KEY}", file=sys.stderr)
    made = make_all(site, variables, order_key)
    site.hand_over(int(variables["FARM_UID"]))
    ca = (site.secrets / "ca.crt").read_text("utf-8")
    return [*([site.env] if new else []), *made, *trust_registry(options.docker_certs, variables, ca)]


def _bundle(site: Site, options: argparse.Namespace) -> list[Path]:
    if options.worker:
        if not options.arch:
            raise InputError("--worker needs --arch", hint="the architecture that it builds")
        name, key = options.worker
        add_worker(site, WorkerKey(name, key, (options.arch,)))
    pack(site, sys.stdout.buffer, options.arch)
    return []


def _join(site: Site, options: argparse.Namespace) -> list[Path]:
    if options.bundle is None:
        arch = options.arch or own_arch()
        made, key = worker_key(site, arch, options.machine)
        print("on the first machine, run this; then join with what it writes:")
        print(f"sudo compose/bundle --arch {arch} --worker {key.name} {key.key} > worker.tar")
        return made
    with options.bundle:
        own = this_machine(options.machine, options.socket)
        return unpack(site, options.bundle, own, docker_certs=options.docker_certs, replace=options.renew)


def _renew(site: Site, options: argparse.Namespace) -> list[Path]:
    return renew(site, options.names, docker_certs=options.docker_certs)


def _restore(site: Site, options: argparse.Namespace) -> list[Path]:
    return restore(site, options.directory, docker_certs=options.docker_certs)


if __name__ == "__main__":
    sys.exit(main())

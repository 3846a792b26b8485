"""What the scripts of this folder run, `compose/init` and its like: each is a word of this command."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from compose.backup import backup, restore
from compose.join import pack, this_machine, trust_registry, unpack
from compose.make import make_all
from compose.renew import RENEWABLE, renew
from compose.site import Site, check_host
from farm.errors import FarmError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SOCKET = "/var/run/docker.sock"
_DOCKER_CERTS = Path("/etc/docker/certs.d")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what one word asks for; returns the exit code."""
    options = _parse(arguments)
    verb: Callable[[Site, argparse.Namespace], list[Path]] = options.verb
    try:
        for path in verb(Site(), options):
            print(f"made {os.path.relpath(path)}")  # noqa: T201 - what an operator is told
    except FarmError as error:
        print(f"compose: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compose", description="Look after the stack in containers.")
    words = parser.add_subparsers(required=True)
    init = words.add_parser("init", help="make .env, certificates, passwords and the signing key, once")
    init.add_argument("host", help="name or address at which every machine reaches this one")
    init.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of .env")
    init.set_defaults(verb=_init)
    bundle = words.add_parser("bundle", help="write what another machine's worker needs to standard output")
    bundle.set_defaults(verb=_bundle)
    join = words.add_parser("join", help="make this the machine of a worker")
    join.add_argument(
        "bundle", type=argparse.FileType("rb"), help="what compose/bundle wrote; - for standard input"
    )
    join.set_defaults(verb=_join)
    for machine in (init, join):
        machine.add_argument(
            "--machine", default=platform.node().partition(".")[0], help="name in its workers' names"
        )
        machine.add_argument("--socket", default=_SOCKET, help="of this machine's Docker Engine")
        machine.add_argument(
            "--docker-certs",
            type=Path,
            default=_DOCKER_CERTS,
            help="where that engine looks for registries' CAs",
        )
    renewing = words.add_parser("renew", help="make secrets anew")
    renewing.add_argument("names", nargs="+", choices=RENEWABLE, metavar="NAME", help=", ".join(RENEWABLE))
    renewing.set_defaults(verb=lambda site, options: renew(site, options.names))
    for name, do, about in (
        ("backup", backup, "copy all that must not be lost into a new folder"),
        ("restore", restore, "put a back-up into a stack that is down and empty"),
    ):
        word = words.add_parser(name, help=about)
        word.add_argument("folder", type=Path)
        word.set_defaults(verb=lambda site, options, do=do: do(site, options.folder))
    return parser.parse_args(arguments)


def _init(site: Site, options: argparse.Namespace) -> list[Path]:
    given = dict(item.partition("=")[::2] for item in options.set)
    new = not site.env.exists()
    variables = site.settle(
        {"FARM_HOST": check_host(options.host), **given}, kept=this_machine(options.machine, options.socket)
    )
    made = make_all(site, variables)
    site.hand_over(int(variables["FARM_UID"]))
    ca = (site.secrets / "ca.crt").read_text()
    return [*([site.env] if new else []), *made, *trust_registry(options.docker_certs, variables, ca)]


def _bundle(site: Site, _: argparse.Namespace) -> list[Path]:
    pack(site, sys.stdout.buffer)
    return []


def _join(site: Site, options: argparse.Namespace) -> list[Path]:
    with options.bundle:
        own = this_machine(options.machine, options.socket)
        return unpack(site, options.bundle, own, docker_certs=options.docker_certs)


if __name__ == "__main__":
    sys.exit(main())

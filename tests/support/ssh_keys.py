"""Keys of all kinds for policies and orders: made once, by ssh-keygen or cryptography."""

from __future__ import annotations

import base64
import os
import subprocess
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@cache
def ssh_public_key(number: int = 0) -> str:
    """The public half of an ed25519 key; each number has its own."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@cache
def worker_key(number: int = 0, curve: str = "secp256r1") -> str:
    """A worker's public key as a policy has it; each number has its own."""
    key = ec.derive_private_key(number + 1, {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}[curve])
    return base64.b64encode(
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()


def keygen(path: Path, kind: str = "ed25519", *, comment: str = "", passphrase: str = "") -> Path:
    """The file of a new key pair, made by ssh-keygen."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", comment, "-f", str(path)]
    command += ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@contextmanager
def ssh_agent(*keys: Path) -> Iterator[str]:
    """The socket of an agent that has these keys."""
    agent = subprocess.Popen(["ssh-agent", "-D"], stdout=subprocess.PIPE, text=True)
    try:
        assert agent.stdout is not None
        socket = agent.stdout.readline().split("=", 1)[1].split(";", 1)[0]
        for key in keys:
            environment = os.environ | {"SSH_AUTH_SOCK": socket}
            subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment)
        yield socket
    finally:
        agent.terminate()
        agent.communicate()

"""The services of the lab, each on a port of its own on loopback, with its data in the lab's directory."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.process import Service, answers_http, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GUARDED_LOGIN = ("farm", "s3cret")
# The bcrypt hash of that password at the lowest cost; Debian's openssl cannot make one.
_HTPASSWD = "farm:$2b$04$nvDS0AxlpatvSDT.xlonF.e2uYmEDgkTA4glV9iJBtzqLpJtakNKW\n"
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class Located:
    """A service and its address."""

    service: Service
    address: str


def registry(directory: Path, name: str = "registry", *, guarded: bool = False) -> Located:
    """A registry (localhost:PORT) that allows deletion; a guarded one requires `GUARDED_LOGIN`."""
    port, home = free_port(), directory / name
    home.mkdir()
    (home / "htpasswd").write_text(_HTPASSWD)
    lines = [
        "version: 0.1",
        "log: {accesslog: {disabled: true}, level: warn}",
        f"storage: {{filesystem: {{rootdirectory: {home}/data}}, delete: {{enabled: true}}}}",
        f'http: {{addr: "127.0.0.1:{port}"}}',
    ]
    if guarded:
        lines.append(f"auth: {{htpasswd: {{realm: lab, path: {home}/htpasswd}}}}")
    (home / "config.yml").write_text("\n".join(lines) + "\n")
    up = answers_http(f"http://127.0.0.1:{port}/v2/", statuses=(_UNAUTHORIZED,) if guarded else (200,))
    command = ["docker-registry", "serve", str(home / "config.yml")]
    return Located(Service(name, command, directory, up), f"localhost:{port}")


def redis(directory: Path, password: str) -> Located:
    """A Redis with an append-only file; its address is a URL.

    The farm's users (`as_user`) have the same password, and their rights in database 0.
    """
    from farm.scheduling.access import user_rule  # noqa: PLC0415 - slow to import, and only needed here
    from farm.state.redis_checks import USERS  # noqa: PLC0415 - the same

    port, home, users = free_port(), directory / "redis", directory / "redis-users.acl"
    home.mkdir()
    # In a file, because every user of the machine can read arguments.
    lines = [f"port {port}", "bind 127.0.0.1", f"aclfile {users}", "appendonly yes", f"dir {home}"]
    # Each test has a database of its own.
    lines.append("databases 1000")
    # As config/redis/redis.conf has it.
    lines.append("stream-node-max-bytes 1024")
    # Not in its directory: they outlive its data.
    rules = [f"user default on >{password} ~* &* +@all", *(user_rule(user, f">{password}") for user in USERS)]
    users.write_text("\n".join([*rules, ""]))
    users.chmod(0o600)
    (home / "redis.conf").write_text("\n".join([*lines, 'save ""', "daemonize no"]) + "\n")
    (home / "redis.conf").chmod(0o600)
    command = ["redis-server", str(home / "redis.conf")]
    return Located(
        Service("redis", command, directory, answers_ping(port)), f"redis://:{password}@127.0.0.1:{port}/0"
    )


def as_user(url: str, user: str) -> str:
    """The URL of `redis` for one of the farm's users."""
    return url.replace("redis://:", f"redis://{user}:", 1)


def answers_ping(port: int) -> Callable[[], bool]:
    """Whether a Redis answers on a port of loopback."""
    from redis import Redis  # noqa: PLC0415 - slow to import, and only needed here
    from redis.backoff import NoBackoff  # noqa: PLC0415 - the same
    from redis.exceptions import AuthenticationError, RedisError  # noqa: PLC0415 - the same
    from redis.retry import Retry  # noqa: PLC0415 - the same

    def ask() -> bool:
        try:
            # By default, the client retries a refused connection for four seconds.
            with Redis(port=port, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
                client.ping()
        except AuthenticationError:
            return True
        except RedisError:
            return False
        return True

    return ask


def notary(directory: Path) -> tuple[Located, Path]:
    """A notary server with TLS that keeps its data in memory, and its certificate."""
    port, home = free_port(), directory / "notary"
    home.mkdir()
    certificate = home / "server.crt"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            *curve,
            "-keyout",
            str(home / "server.key"),
            "-out",
            str(certificate),
            *subject,
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    config = {
        "server": {
            "http_addr": f"127.0.0.1:{port}",
            "tls_cert_file": "server.crt",
            "tls_key_file": "server.key",
        },
        "trust_service": {"type": "local"},
        "storage": {"backend": "memory"},
        "logging": {"level": "warn"},
    }
    (home / "server.json").write_text(json.dumps(config))
    url = f"https://localhost:{port}"
    up = answers_http(f"{url}/_notary_server/health")
    command = ["notary-server", "-config", str(home / "server.json")]
    return Located(Service("notary", command, directory, up), url), certificate

"""A client of a Docker Engine (20.10 or newer): docker-py, and connections that a selector can wait on.

https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlencode, urlsplit

import docker.errors
import urllib3.exceptions
from docker import APIClient
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.tls import TLSConfig

from farm.buildkit.connection import Connection, translate_connection_errors
from farm.buildkit.platforms import ask_architectures
from farm.errors import EngineError, EngineUnavailableError, EngineUntrustedError, InputError
from farm.model import arch_of_uname
from farm.model.strict_json import text_of
from farm.syntax.setting_types import without_login
from farm.system.certificates import distrust

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DEFAULT_URL = "unix:///var/run/docker.sock"
_SCHEMES = ("unix://", "tcp://", "http://")
_PORT = 2375
_TLS_PORT = 2376
_SERVER_ERROR = 500
_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The engine's description of itself."""

    id: str
    version: str
    architecture: str
    """As LinuxKit names it."""
    root: str
    """The directory of its data, on its machine."""
    containerd: bool = False
    """Whether it stores images in containerd, and so can keep indexes, attestations and exported caches."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A connected Docker Engine; a context manager.

    Every method raises EngineUnavailableError if the engine cannot be reached.
    """

    api: Any
    """docker-py's client, whose type hints are incomplete."""
    url: str
    tls: ssl.SSLContext | None
    timeout: float
    """Seconds that one request may take; builds and pushes have limits of their own."""

    @classmethod
    def connect(cls, url: str | None, *, certs: Path | None = None, timeout: float) -> Engine:
        """Connect, and make sure that an engine answers.

        Args:
            url: unix:///PATH or tcp://HOST:PORT; None for the local engine.
            certs: directory of ca.pem, cert.pem and key.pem; tcp:// then uses TLS.
            timeout: seconds that each request may take.

        Raises:
            InputError: the URL is not supported, or the certificates cannot be read.
            EngineUnavailableError: no engine answers, or not with a certificate of that CA.
        """
        url = url or DEFAULT_URL
        if not _is_url(url):
            raise InputError(
                f"engine: invalid Docker Engine URL {without_login(url)}",
                hint="unix:///PATH or tcp://HOST:PORT",
            )
        tls, docker_tls = _tls(certs) if certs and url.startswith("tcp://") else (None, False)
        with translate_engine_errors(url):
            # docker-py leaks its socket if nothing answers, so try that first.
            open_socket(url, timeout, tls).close()
            return cls(_api_client(url, timeout, docker_tls), url, tls, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()

    def info(self) -> EngineInfo:
        """Ask the engine to describe itself."""
        with translate_engine_errors(self.url):
            data: dict[str, Any] = self.api.info()
        try:
            return EngineInfo(
                id=text_of(data["ID"]),
                version=text_of(data["ServerVersion"]),
                architecture=arch_of_uname(text_of(data["Architecture"])),
                root=text_of(data["DockerRootDir"]),
                containerd=["driver-type", "io.containerd.snapshotter.v1"]
                in (data.get("DriverStatus") or []),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EngineError(f"the Docker Engine at {self.url} describes itself wrongly: {error}") from error

    def inspect(self, image: str) -> dict[str, Any]:
        """The engine's description of an image, by id or name.

        https://docs.docker.com/reference/api/engine/version/v1.57/operations/ImageInspect/
        """
        with translate_engine_errors(self.url):
            return cast("dict[str, Any]", self.api.inspect_image(image))

    def emulated(self) -> tuple[str, ...]:
        """The foreign architectures whose programs the engine runs by emulation."""
        own = self.info().architecture
        with self.connection() as connection, translate_connection_errors(without_login(self.url)):
            return tuple(arch for arch in ask_architectures(connection) if arch != own)

    def target(self, path: str, query: Iterable[tuple[str, str]] = ()) -> str:
        """The request target for a path of the API."""
        return f"/v{self.api.api_version}{path}?{urlencode(list(query))}"

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Open a connection beside docker-py's; it is closed at the end."""
        with translate_engine_errors(self.url):
            connection = Connection(open_socket(self.url, self.timeout, self.tls), without_login(self.url))
        with connection:
            yield connection


class _ApiClient(APIClient):
    """docker-py's client, in which REQUESTS_CA_BUNDLE does not override the engine's CA."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Send a request with the settings of this client, not those of the environment."""
        self.trust_env = False
        return super().request(*args, **kwargs)


def _api_client(url: str, timeout: float, tls: TLSConfig | bool) -> APIClient:
    """A client that speaks the engine's own version of the API.

    docker-py would ask `/version`, for which an engine starts three programs: 15 ms in place of 1.
    https://docs.docker.com/reference/api/engine/version/v1.57/operations/SystemPing/
    """
    options: dict[str, Any] = {"base_url": url, "timeout": cast("int", timeout), "tls": tls}
    with _ApiClient(version=DEFAULT_DOCKER_API_VERSION, **options) as asking:
        answer = asking.get(f"{asking.base_url}/_ping", timeout=timeout)
    version = answer.headers.get("Api-Version", "") if answer.ok else ""
    return _ApiClient(version=version if _VERSION.fullmatch(version) else "auto", **options)


def _is_url(url: str) -> bool:
    try:
        return url.startswith(_SCHEMES) and urlsplit(url).port != 0
    except ValueError:
        return False


def _tls(certs: Path) -> tuple[ssl.SSLContext, TLSConfig]:
    """The engine's CA and this client's certificate, as `docker --tlsverify` uses them, and for docker-py."""
    ca, cert, key = (str(certs / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    try:
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(cert, key)
    except OSError as error:
        raise InputError(
            f"engine-certs: {certs}: {error}", hint="it must hold ca.pem, cert.pem and key.pem"
        ) from error
    # TLS 1.3 sends session tickets at any time: a selector would wake for one, and the next read block.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context, TLSConfig(client_cert=(cert, key), ca_cert=ca, verify=True)


def open_socket(url: str, timeout: float, tls: ssl.SSLContext | None = None) -> socket.socket:
    """A socket that is connected to an engine; raises OSError if nothing answers."""
    parts = urlsplit(url)
    with ExitStack() as failed:
        if parts.scheme == "unix":
            sock = failed.enter_context(socket.socket(socket.AF_UNIX))
            sock.settimeout(timeout)
            sock.connect(parts.path)
        else:
            host, port = parts.hostname or "", parts.port or (_TLS_PORT if tls else _PORT)
            sock = failed.enter_context(socket.create_connection((host, port), timeout))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if tls:
                sock = tls.wrap_socket(sock, server_hostname=host)
        failed.pop_all()
    return sock


@contextmanager
def translate_engine_errors(url: str) -> Iterator[None]:
    """Translate docker-py's errors: EngineError for an answer of the engine, else EngineUnavailableError."""
    url = without_login(url)
    try:
        yield
    except docker.errors.APIError as error:
        kind = EngineUnavailableError if (error.status_code or 0) >= _SERVER_ERROR else EngineError
        raise kind(f"the Docker Engine at {url} refused the request: {error.explanation or error}") from error
    except RecursionError as error:
        raise EngineError(f"the Docker Engine at {url} sent an answer that is nested too deeply") from error
    # The errors of requests are OSErrors.
    except (OSError, urllib3.exceptions.HTTPError, docker.errors.DockerException) as error:
        if reason := distrust(error):
            raise EngineUntrustedError(
                f"the certificate of the Docker Engine at {url} is not trusted: {reason}",
                hint="engine-certs names the directory with ca.pem, the CA that issued it",
            ) from error
        raise EngineUnavailableError(
            f"the Docker Engine at {url} does not answer",
            hint="is dockerd running, and may this user talk to it?",
        ) from error

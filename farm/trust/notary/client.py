"""The notary command line client, driven over a pseudo terminal."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pexpect

from farm.errors import TrustDeniedError, TrustError
from farm.settings import Secret, environment
from farm.system.files import temporary_directory
from farm.system.processes import DIE_WITH_PARENT, TIE_PROGRAM
from farm.system.programs import require
from farm.trust.notary.failures import error_of

if TYPE_CHECKING:
    from pathlib import Path

    from farm.registry.credentials import Login
    from farm.trust.notary.limits import TrustDeadline

# The prompts of notary are in
# https://github.com/theupdateframework/notary/blob/v0.7.0/passphrase/passphrase.go
_PASSPHRASE = re.compile(
    r"(?P<verb>Enter|Repeat) passphrase for (?:new )?(?P<role>[\w/.-]+) key "
    r"with ID (?P<id>\w+)(?: \([^)]*\))?: "
)
# https://github.com/theupdateframework/notary/blob/v0.7.0/cmd/notary/tuf.go (passwordStore.Basic)
_LOGIN = re.compile(r"Enter (?:username|password): ")
_TOO_SHORT = "Passphrase is too short"
# Characters that pexpect searches for a prompt: without a limit, it reads a long listing in quadratic time.
_WINDOW = 1000
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_INHERITED = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", *_PROXIES, *map(str.lower, _PROXIES))

Passphrases = Mapping[str, Sequence[Secret]]
"""By role (`root`, `targets`, `targets/releases`): the passphrases to try, in order."""


@dataclass(frozen=True, slots=True)
class NotaryServer:
    """A notary server, and how this machine uses it."""

    url: str
    """https://HOST[:PORT]."""
    work: Path
    """A directory of the farm, in which each call makes and removes a private trust directory."""
    pins: Path
    """The file of the root keys that may certify what the server shows."""
    ca: Path | None = None
    """A PEM file; None for the system's certificate authorities."""
    client: tuple[Path, Path] | None = None
    """Certificate and key with which this machine authenticates itself to the server."""
    login: Login | None = None
    """The registry account, for notary's token service."""
    timeout: float = field(kw_only=True)
    """Seconds that one operation may take."""


@dataclass(frozen=True, slots=True)
class Notary:
    """The client for one GUN on one server, with one trust directory."""

    gun: str
    server: NotaryServer
    trust_dir: Path
    deadline: TrustDeadline
    passphrases: Passphrases = field(default_factory=dict)

    def run(self, *arguments: str, expected: re.Pattern[str] | None = None) -> str | None:
        """Run one command and answer its prompts; returns its output, None if it failed as expected.

        Raises:
            TrustDeniedError: it asks for a login, or for a passphrase that is unknown or wrong.
            TrustUnavailableError: the deadline passed; the client has been killed.
            TrustError: it failed otherwise; the kinds are those of `error_of`.
        """
        with _child(command(self.server, self.trust_dir, arguments), self._environment()) as child:
            try:
                output = self._converse(child)
            except pexpect.TIMEOUT:
                # No cause: it would show the terminal's buffer.
                raise self.deadline.missed() from None
        if child.exitstatus == 0:
            return output
        if expected and expected.search(output):
            return None
        # Some of it are the server's words.
        raise error_of(_without_controls(output), self.gun, self.server.url)

    def _environment(self) -> dict[str, str]:
        """The environment of the client; the login goes into it, so that no prompt asks for one.

        Almost nothing is inherited: NOTARY_* would override the passphrases, and ~/.notary/config.json the
        server: https://github.com/theupdateframework/notary/blob/v0.7.0/cmd/notary/main.go
        """
        variables, login = environment(_INHERITED) | {"HOME": str(self.trust_dir)}, self.server.login
        return variables | ({"NOTARY_AUTH": login.basic} if login else {})

    def _converse(self, child: pexpect.spawn[str]) -> str:
        """Answer the client's prompts until it ends; returns its output."""
        printed = ""
        entered: Counter[str] = Counter()
        while True:
            child.expect([_PASSPHRASE, _LOGIN, pexpect.EOF], timeout=self.deadline.left())
            printed += child.before or ""
            prompt = child.match
            if not isinstance(prompt, re.Match):
                return printed
            if prompt.re is _LOGIN:
                raise TrustDeniedError(
                    f"{self.server.url} asks for a login for {self.gun}", hint="log in to the registry first"
                )
            # Notary says "Repeat" to confirm a new passphrase, and "Enter" again after a wrong one.
            entered[prompt["id"]] += prompt["verb"] == "Enter"
            child.sendline(self._answer(prompt, entered[prompt["id"]], printed).reveal())

    def _answer(self, prompt: re.Match[str], tries: int, printed: str) -> Secret:
        role, key = prompt["role"], f"{prompt['role']} key {prompt['id']} of {self.gun}"
        answers = self.passphrases.get(role, ())
        if not answers:
            raise TrustDeniedError(f"notary asks for the passphrase of the {key}, which is not set")
        if _TOO_SHORT in printed:
            raise TrustDeniedError(
                f"the passphrase for the new {key} is too short", hint="choose one of 8 characters or more"
            )
        if tries > len(answers):
            raise TrustDeniedError(f"the passphrase of the {key} is wrong")
        return answers[tries - 1]


def _without_controls(text: str) -> str:
    return "".join(
        one if one.isprintable() or one in "\r\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text
    )


def command(server: NotaryServer, trust_dir: Path, arguments: Sequence[str]) -> list[str]:
    """The command line of the client."""
    tls = ["--tlscacert", str(server.ca.absolute())] if server.ca else []
    if server.client:
        certificate, key = server.client
        tls += ["--tlscert", str(certificate.absolute()), "--tlskey", str(key.absolute())]
    # The client appends /v2/GUN/; it does not follow the redirect that the server sends for two slashes.
    url = server.url.rstrip("/")
    return ["notary", "-s", url, *tls, "-d", str(trust_dir), *arguments]


@contextmanager
def open_client(gun: str, server: NotaryServer, deadline: TrustDeadline) -> Iterator[Notary]:
    """The client with an empty trust directory, so that all it reports comes from the server."""
    directory = temporary_directory(
        server.work, prefix="trust-", timeout=deadline.left(), busy=deadline.missed()
    )
    with ExitStack() as stack:
        try:
            trust_dir = stack.enter_context(directory)
        except OSError as error:
            raise TrustError(f"{server.work}: no trust directory can be made: {error.strerror}") from error
        yield Notary(gun, server, trust_dir, deadline)


@contextmanager
def _child(command: list[str], variables: dict[str, str]) -> Iterator[pexpect.spawn[str]]:
    """The client on a pseudo terminal; it is dead and reaped when the block ends, even by an exception."""
    require("notary", *TIE_PROGRAM)
    program, *arguments = [*DIE_WITH_PARENT, *command]
    child: pexpect.spawn[str] = pexpect.spawn(
        program,
        arguments,
        env=variables,
        # Off before the client starts: notary turns it off only after it has printed the prompt, and what is
        # sent in between would be echoed.
        echo=False,
        encoding="utf-8",
        codec_errors="replace",
        maxread=65536,
        searchwindowsize=_WINDOW,
        use_poll=True,
    )
    # By default pexpect waits 50 ms before it sends, until the child turns echo off, and 100 ms on closing:
    # https://pexpect.readthedocs.io/en/stable/commonissues.html#timing-issue-with-send-and-sendline
    child.delaybeforesend = None
    child.ptyproc.delayafterclose = 0  # type: ignore[attr-defined]  # missing in the stubs
    try:
        yield child
    finally:
        if child.pid is not None and child.isalive():
            # The group too: the child leads a session, because it has a terminal of its own.
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        child.close()

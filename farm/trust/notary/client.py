"""The notary command line client, driven over a pseudo terminal."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pexpect

from farm.errors import TrustDeniedError, TrustError
from farm.settings import Secret, environment
from farm.system.processes import DIE_WITH_PARENT, TIE_PROGRAM, require
from farm.trust.notary.directory import private_directory
from farm.trust.notary.failures import error_of

if TYPE_CHECKING:
    from pathlib import Path

    from farm.registry.credentials import Login
    from farm.trust.notary.deadline import Deadline

_PASSPHRASE = re.compile(
    r"(?P<act>Enter|Repeat) passphrase for (?:new )?(?P<role>\S+) key "
    r"with ID (?P<id>\w+)(?: \([^)]*\))?: "
)
_LOGIN = re.compile(r"Enter (?:username|password): ")
_TOO_SHORT = "Passphrase is too short"
# The prompts are short; looking back no further keeps long listings linear in their length.
_WINDOW = 1000
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_PASSED_ON = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", *_PROXIES, *map(str.lower, _PROXIES))

Passphrases = Mapping[str, Sequence[Secret]]
"""By role (`root`, `targets`, `targets/releases`): what to answer, in the order to try."""


@dataclass(frozen=True, slots=True)
class NotaryServer:
    """A notary server, and where this machine works with it.

    `url` is https://HOST[:PORT]; `ca` a PEM file, None for the system's; `work` a directory of the
    farm's own, under which every call makes a private trust directory and removes it afterwards; `client`
    the certificate and the key that this machine shows to a server that asks.
    """

    url: str
    work: Path
    ca: Path | None = None
    client: tuple[Path, Path] | None = None


@dataclass(frozen=True, slots=True)
class ClientResult:
    """How one run of the client ended, and all that it printed."""

    status: int
    output: str


@dataclass(frozen=True, slots=True)
class Notary:
    """The client, set up for one GUN on one server, with one trust directory."""

    gun: str
    server: NotaryServer
    trust_dir: Path
    deadline: Deadline
    login: Login | None = None
    passphrases: Passphrases = field(default_factory=dict)

    def attempt(self, *arguments: str) -> ClientResult:
        """Run one command, answering its prompts; the caller judges the outcome.

        Raises:
            TrustDeniedError: it asks for a login, or for a passphrase that is not known or is wrong.
            TrustUnavailableError: the deadline passed; the client is dead by then.
            FarmError: the client is not installed.
        """
        with _child(command(self.server, self.trust_dir, arguments), self._environment()) as child:
            try:
                output = self._converse(child)
            except pexpect.TIMEOUT:
                # The cause would show the terminal's buffer; the deadline says all that is known.
                raise self.deadline.missed() from None
        return ClientResult(child.exitstatus if child.exitstatus is not None else -1, output)

    def run(self, *arguments: str) -> str:
        """Run one command that must succeed, and return what it printed.

        Raises:
            TrustError: it failed; the kinds are those of `attempt` and `error_of`.
        """
        outcome = self.attempt(*arguments)
        if outcome.status != 0:
            raise self.error(outcome)
        return outcome.output

    def error(self, outcome: ClientResult) -> TrustError:
        """The error that a failed outcome stands for."""
        return error_of(outcome.output, self.gun, self.server.url)

    def _environment(self) -> dict[str, str]:
        """Nothing of the caller's: NOTARY_* would beat our answers, ~/.notary/config.json our server."""
        variables = environment(_PASSED_ON) | {"HOME": str(self.trust_dir)}
        return variables | ({"NOTARY_AUTH": self.login.basic} if self.login else {})

    def _converse(self, child: pexpect.spawn[str]) -> str:
        printed = ""
        asked: Counter[str] = Counter()
        while True:
            child.expect([_PASSPHRASE, _LOGIN, pexpect.EOF], timeout=self.deadline.left())
            printed += child.before or ""
            question = child.match
            if not isinstance(question, re.Match):
                return printed
            if question.re is _LOGIN:
                raise TrustDeniedError(
                    f"{self.server.url} asks for a login for {self.gun}", hint="log in to the registry first"
                )
            # A new passphrase is entered and repeated; one that must be entered twice was refused.
            asked[question["id"]] += question["act"] == "Enter"
            child.sendline(self._answer(question, asked[question["id"]], printed).reveal())

    def _answer(self, question: re.Match[str], times: int, printed: str) -> Secret:
        role, key = question["role"], f"{question['role']} key {question['id']} of {self.gun}"
        answers = self.passphrases.get(role, ())
        if not answers:
            raise TrustDeniedError(f"notary asks for the passphrase of the {key}, which is not known")
        if _TOO_SHORT in printed:
            raise TrustDeniedError(
                f"the passphrase for the new {key} is too short", hint="choose one of 8 characters or more"
            )
        if times > len(answers):
            raise TrustDeniedError(f"the passphrase of the {key} is wrong")
        return answers[times - 1]


def command(server: NotaryServer, trust_dir: Path, arguments: Sequence[str]) -> list[str]:
    """The command line of the client, as a person would type it too."""
    authority = ["--tlscacert", str(server.ca.absolute())] if server.ca else []
    if server.client:
        certificate, key = server.client
        authority += ["--tlscert", str(certificate.absolute()), "--tlskey", str(key.absolute())]
    # Notary answers a path that begins with two slashes by a redirect that it does not follow.
    url = server.url.rstrip("/")
    return ["notary", "-s", url, *authority, "-d", str(trust_dir), *arguments]


@contextmanager
def fresh(gun: str, server: NotaryServer, deadline: Deadline, login: Login | None = None) -> Iterator[Notary]:
    """The client with an empty trust directory of its own: what it then tells comes from the server.

    Raises:
        TrustError: as `private_directory`.
    """
    with private_directory(server.work, deadline) as trust_dir:
        yield Notary(gun, server, trust_dir, deadline, login)


@contextmanager
def _child(command: list[str], variables: dict[str, str]) -> Iterator[pexpect.spawn[str]]:
    """A process on a terminal of its own that is dead and reaped afterwards, however the block ends."""
    require("notary", *TIE_PROGRAM)
    program, *arguments = [*DIE_WITH_PARENT, *command]
    child: pexpect.spawn[str] = pexpect.spawn(
        program,
        arguments,
        env=variables,
        # Off before the client starts: notary itself turns it off only after it has printed the prompt.
        echo=False,
        encoding="utf-8",
        codec_errors="replace",
        maxread=65536,
        searchwindowsize=_WINDOW,
        use_poll=True,
    )
    # Pexpect sleeps before it sends, in case echo is still on, and when it closes, for slow processes to end.
    child.delaybeforesend = None
    child.ptyproc.delayafterclose = 0  # type: ignore[attr-defined]  # the stubs leave it out
    try:
        yield child
    finally:
        if child.pid is not None and child.isalive():
            # It leads a group of its own, as all do that have a terminal of their own.
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        child.close()

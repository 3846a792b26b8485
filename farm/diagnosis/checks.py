"""The checks of `farm doctor`, each on its own, so that one failure hides no other."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from farm.builders.choice import check_builders, describe_builder, uses_buildx
from farm.builders.docker_engine import Engine
from farm.builders.pruning import unseen_disk
from farm.errors import FarmError, InputError, NoWorkerError, TrustDeniedError, internal_error
from farm.model import Reference
from farm.registry.client import open_registry
from farm.state.redis_checks import USERS, check_redis
from farm.state.store import Store
from farm.state.workers import served, workers
from farm.system.programs import require
from farm.trust.policy_file import load_policy
from farm.trust.policy_warnings import policy_warnings
from farm.trust.signer import has_signing_key, make_signer, signers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.settings import Settings

_NO_PACKAGE = "farm-doctor/no-such-package"
"""A repository that need not exist: the check is whether the server answers."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    part: str
    found: str = ""
    """Version, address or path of what was found."""
    error: FarmError | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding as `--json` shows it."""
        error = self.error.to_json() if self.error else None
        return {"part": self.part, "ok": self.error is None, "found": self.found or None, "error": error}


def examine(settings: Settings) -> list[Finding]:
    """Run all checks at once; return their findings in a fixed order."""
    checks = {"git": _git, "broker": _broker, "engine": _engine, "builder": _builder, "registry": _registry}
    if settings.broker is not None:
        checks["workers"] = _workers
    if settings.policy is not None:
        checks["policy"] = _policy
    if settings.sign:
        checks |= {" and ".join(signers_of(settings)): _signatures, "signing key": _signing_key}
    with ThreadPoolExecutor(len(checks)) as pool:
        findings = [pool.submit(run_check, part, check, settings) for part, check in checks.items()]
    return [finding.result() for finding in findings]


def run_check(part: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    """The finding of one check, also of one that fails with an internal error."""
    try:
        return Finding(part, check(settings))
    except FarmError as error:
        return Finding(part, error=error)
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        failure = internal_error(error, hint="farm --debug doctor shows the traceback")
        failure.__cause__ = error
        return Finding(part, error=failure)


def exit_code(findings: list[Finding]) -> int:
    """The exit code of the first check that failed, else 0."""
    return next((one.error.exit_code for one in findings if one.error), 0)


def _git(_: Settings) -> str:
    if path := shutil.which("git"):
        return path
    raise InputError("the program git is not installed", hint="apt-get install git")


def _broker(settings: Settings) -> str:
    if settings.broker is None:
        if path := shutil.which("redis-server"):
            return f"none set: a private farm with {path}, in {settings.state_dir}"
        raise InputError(
            "no broker is set, and redis-server, which the private farm needs, is not installed",
            hint="apt-get install redis-server, or set FARM_BROKER",
        )
    with closing(Store(settings.broker)) as store:
        facts = check_redis(store)
    user = urlsplit(settings.broker.reveal()).username or "default"
    role = f"as {user}, who {USERS[user]} only" if user in USERS else f"as {user}"
    return "; ".join((f"Redis {facts.version}".rstrip() + f", {role}", *facts.warnings))


def _workers(settings: Settings) -> str:
    assert settings.broker is not None  # noqa: S101 - examine() runs this only with a broker
    with closing(Store(settings.broker)) as store:
        present = served(workers(store))
    if missing := sorted({*settings.arches, "publish"} - present):
        raise NoWorkerError(f"no worker serves {', '.join(missing)}", hint="start one: farm worker")
    return ", ".join(sorted(present))


def _connected(settings: Settings) -> Engine:
    return Engine.connect(settings.engine, certs=settings.engine_certs, timeout=settings.http_timeout)


def _engine(settings: Settings) -> str:
    with _connected(settings) as engine:
        info, emulated = engine.info(), engine.emulated()
    more = f", emulates {', '.join(emulated)}" if emulated else ""
    if unseen := unseen_disk(settings, info.root):
        more += f"; {unseen}"
    return f"Docker Engine {info.version}, {info.architecture}{more}"


def _builder(settings: Settings) -> str:
    found = describe_builder(settings)
    if not uses_buildx(settings):
        return found
    with _connected(settings) as engine:
        info = engine.info()
    named = {platform.removeprefix("linux/"): name for platform, name in settings.builders}
    check_builders(settings, lambda: info, {info.architecture, *named})
    return ", ".join((found, *(f"{arch} by {name}" for arch, name in named.items())))


def _reference(settings: Settings) -> Reference:
    return Reference.parse(f"{settings.org or 'docker.io/linuxkit'}/{_NO_PACKAGE}")


def _registry(settings: Settings) -> str:
    reference = _reference(settings)
    with open_registry(settings) as registry:
        login = registry.credentials.login_for(reference.registry)
        registry.ping(reference.registry)
    return f"{reference.registry}, {'as ' + login.user if login else 'without a login'}"


def _policy(settings: Settings) -> str:
    assert settings.policy is not None  # noqa: S101 - examine() runs this only with a policy
    require("ssh-keygen")
    found = load_policy(settings.policy)
    warnings = policy_warnings(found, settings.arches, now=time.time())
    return "; ".join((str(settings.policy), *warnings))


def _signatures(settings: Settings) -> str:
    reference, signer = _reference(settings), make_signer(settings)
    signer.check_settings([reference.name], to_sign=False)
    signer.signed([reference.with_tag("none")])
    return signer.describe(reference.name)


def _signing_key(settings: Settings) -> str:
    if not has_signing_key(settings) and settings.broker is not None:
        return "none set: this machine does not publish"
    if not has_signing_key(settings):
        raise TrustDeniedError(
            "no signing key is configured, and the private farm publishes here",
            hint="farm trust init makes one for signing-key; or add --no-sign",
        )
    make_signer(settings).ready([])
    keys = [str(key) for key in (settings.cosign_key, settings.signing_key) if key]
    return ", ".join(keys) or "cosign-private-key"

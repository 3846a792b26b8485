"""Why a build, push or pull failed, in one sentence: from the messages of the builder or the engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farm.buildkit.progress import readable
from farm.errors import (
    BuildFailedError,
    DiskFullError,
    EngineUnavailableError,
    FarmError,
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
    RegistryUntrustedError,
)
from farm.registry.http_failures import TOO_LARGE

if TYPE_CHECKING:
    from farm.buildkit.progress import BuildStep
    from farm.model import Reference

USE_CONTAINERD = 'turn on the containerd image store: {"features": {"containerd-snapshotter": true}}'
"""A hint for an engine whose image store keeps neither indexes nor OCI archives."""
_LONGEST_QUOTE = 300
_SIGKILL_STATUS = 137
_DISK_FULL = re.compile(r"no space left", re.IGNORECASE)
_STATUS = re.compile(r"exit code: (\d+)")
_STEP = re.compile(r"^\[(?:[^\]]* )?(\d+)/(\d+)\] (\w+)(?: (.*))?$", re.DOTALL)
_METADATA = re.compile(
    r"^\[internal\] load metadata for (\S+)|^resolve image config for (?:docker-image://)?(\S+)"
)
_FROM = re.compile(r"^(?:\[[^\]]*\d+/\d+\] )?FROM ([^\s@]+)")
_DENIED = re.compile(
    r"access denied|denied:|unauthorized|forbidden|authorization failed|no basic auth|40[13] ", re.IGNORECASE
)
_ABSENT = re.compile(r"not found|manifest unknown|404", re.IGNORECASE)
_OTHER_PLATFORM = re.compile(r"no match for platform", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"connection refused|connection reset|no such host|i/o timeout|timeout exceeded|TLS handshake|"
    r"server misbehaving|network is unreachable|no route to host|status.*: (?:429|5\d\d)|toomanyrequests|"
    r"\bEOF$",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"transport is closing|server is shutting down|no active session|error reading from server|"
    r"context cancell?ed|cannot connect to the docker daemon|failed to list workers",
    re.IGNORECASE,
)
# containerd's garbage collection may take a layer while a build unpacks the layers above it:
# https://github.com/moby/buildkit/issues/6521
_LOST_LAYER = re.compile(r"(?:parent|lower) snapshot \S+ does not exist")
# Another build may have made the same image, and its worker may remove the last name of it meanwhile:
# https://github.com/moby/moby/blob/v20.10.24/image/fs.go (`get`)
_LOST_IMAGE = re.compile(r"failed to get digest sha256:\S+ open ")
_UNSUPPORTED = re.compile(r"^.+ is not supported for the \S+ driver")
"""How buildx refuses a build that its driver does not support."""
_PARSE = re.compile(r"dockerfile parse error (?:on )?line (\d+): (.*)", re.IGNORECASE | re.DOTALL)
_NO_DOCKERFILE = re.compile(
    r"(?:failed to read dockerfile|the Dockerfile).*(?:no such file|not found)", re.IGNORECASE | re.DOTALL
)
_COMMAND = re.compile(r"(?<=process )\".*\"(?= did not)|(?<=failed running )\[.*\](?=:)", re.DOTALL)
"""The quoted command in a message; its words say nothing about the failure."""
_PREFIXES = (
    r"failed to solve(?: with frontend [^:]+)?",
    r"failed to create LLB definition",
    r"failed to (?:compute|load) cache key",
    r"failed to calculate checksum of ref [^:]+::[^:]+",
    r"failed to walk [^:]+: lstat [^:]+",
    r"error from sender",
)
_WRAPPERS = re.compile(rf"^(?:(?:{'|'.join(_PREFIXES)}):|rpc error: code = \S+ desc =)\s*")
"""What BuildKit's layers, and gRPC, put in front of the message that matters."""
# https://github.com/moby/moby/blob/v20.10.24/distribution/push.go and push_v2.go
_IMAGE_GONE = re.compile(
    r"does not exist locally|tag does not exist|no such image|could not find image from tag|"
    r"unable to get rootfs for image|failed to get top layer from image",
    re.IGNORECASE,
)
_TRANSFER_DENIED = re.compile(
    r"denied|unauthorized|forbidden|authentication required|no basic auth|incorrect username", re.IGNORECASE
)
_UNTRUSTED = re.compile(r"\bx509: ")
_TOO_LARGE = re.compile(r"\b413\b|entity too large", re.IGNORECASE)
_TRANSFER_UNAVAILABLE = re.compile(
    r"connection refused|connection reset|no such host|timeout|TLS handshake|\bEOF\b|toomanyrequests|"
    r"network is unreachable|no route to host|server misbehaving|\b(?:429|50[0-9])\b",
    re.IGNORECASE,
)


def build_failure(message: str, step: BuildStep | None) -> FarmError:
    """The error that the builder's final message, and the step that failed, if known, mean."""
    message = _COMMAND.sub("", message)
    messages = [message, *([_COMMAND.sub("", step.vertex.error), *step.tail] if step else [])]
    if any(map(is_disk_full, messages)):
        return DiskFullError(
            "the disk of the Docker Engine is full", hint="free some space, or prune its build cache"
        )
    if _GONE.search(message):
        return EngineUnavailableError(f"the Docker Engine aborted the build: {_brief(message)}")
    if _LOST_LAYER.search(message):
        return EngineUnavailableError(f"the Docker Engine lost a layer of the build: {_brief(message)}")
    if _LOST_IMAGE.search(message):
        return EngineUnavailableError("another worker removed the same image from the engine meanwhile")
    if unsupported := _UNSUPPORTED.match(message):
        return BuildFailedError(f"not supported by the builder: {unsupported[0]}", hint=USE_CONTAINERD)
    return (_in_step(step) if step else None) or _in_dockerfile(message)


def push_failure(reference: Reference, message: str, *, action: str = "push") -> FarmError:
    """The error that the engine's message about a failed push or pull means."""
    what, quote = f"{action} of {reference.familiar}", quoted(message)
    if is_disk_full(message):
        return DiskFullError(f"{what}: disk full: {quote}")
    if action == "push" and _IMAGE_GONE.search(message):
        return EngineUnavailableError(f"{what}: the image is gone from the engine: {quote}")
    if _UNTRUSTED.search(message):
        return RegistryUntrustedError(
            f"{what}: the engine does not trust the certificate of {reference.registry}: {quote}",
            hint=f"keep its CA in /etc/docker/certs.d/{reference.registry}/ca.crt, where the engine runs",
        )
    if _TRANSFER_DENIED.search(message):
        return RegistryDeniedError(
            f"{what}: access denied by {reference.registry}: {quote}",
            hint=f"docker login {reference.registry}, as this user",
        )
    if _TRANSFER_UNAVAILABLE.search(message):
        return RegistryUnavailableError(f"{what}: {reference.registry} cannot be reached: {quote}")
    return RegistryError(f"{what}: {quote}", hint=TOO_LARGE if _TOO_LARGE.search(message) else None)


def is_disk_full(message: str) -> bool:
    """Whether a message of the engine says that its disk is full."""
    return bool(_DISK_FULL.search(message))


def quoted(message: str) -> str:
    """The start of a message, on one line."""
    return _cut(_one_line(message))


def _one_line(message: str) -> str:
    return " ".join(readable(" ".join(message.split())).split())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 1]}…"


def _in_step(step: BuildStep) -> FarmError | None:
    """The error according to the failed step's name and error; None if they say nothing specific."""
    error, name = step.vertex.error, step.vertex.name
    if base := _METADATA.match(name) or _FROM.match(name):
        return _image_failure(next(group for group in base.groups() if group), error)
    instruction = _STEP.match(name)
    if instruction is None:
        return None
    number, total, verb, command = instruction.groups()
    what = f"{verb} step {number} of {total}"
    status = _STATUS.search(error)
    if verb == "RUN" and status:
        return _run_failure(what, int(status[1]), command or "", step.last_line)
    return BuildFailedError(f"{what} failed: {_brief(error)}")


def _run_failure(what: str, status: int, command: str, last_line: str) -> BuildFailedError:
    hint = "killed, perhaps because it ran out of memory" if status == _SIGKILL_STATUS else None
    output = f': "{_cut(last_line)}"' if last_line else f" and printed nothing: {_brief(command)}"
    return BuildFailedError(f"{what} failed with status {status}{output}", hint=hint)


def _image_failure(name: str, error: str) -> FarmError:
    if _DENIED.search(error):
        return BuildFailedError(
            f"image {name}: access denied, or it does not exist",
            hint="log in to the registry on the worker",
        )
    if _UNREACHABLE.search(error):
        return RegistryUnavailableError(f"image {name}: the registry cannot be reached: {_brief(error)}")
    if _OTHER_PLATFORM.search(error):
        return BuildFailedError(f"image {name} does not exist for this architecture")
    if _ABSENT.search(error):
        return BuildFailedError(f"image {name} was not found")
    return BuildFailedError(f"image {name} cannot be used: {_brief(error)}")


def _in_dockerfile(message: str) -> BuildFailedError:
    if parse := _PARSE.search(message):
        return BuildFailedError(f"syntax error in line {parse[1]} of the Dockerfile: {_brief(parse[2])}")
    if _NO_DOCKERFILE.search(message):
        return BuildFailedError(
            "the Dockerfile is not in the build context", hint="see `dockerfile` in build.yml"
        )
    return BuildFailedError(f"the build failed: {_brief(message)}")


def _brief(text: str) -> str:
    """A message on one line, without the prefixes of the layers that it came through."""
    brief = _one_line(text)
    while (shorter := _WRAPPERS.sub("", brief)) not in ("", brief):
        brief = shorter
    return _cut(brief.replace("not found: not found", "not found"))

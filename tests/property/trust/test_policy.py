"""Globs and policies: for any of them."""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import example, given
from hypothesis import strategies as st

from farm.errors import SettingsError, TrustDeniedError
from farm.model import ARCHES
from farm.trust.policy import SIGNATURES, Maintainer, Policy, WorkerKey, matches, text_of
from farm.trust.policy_edit import rewritten
from farm.trust.policy_text import policy_of, read_worker_key, worker_key_text
from farm.trust.ssh_keys import public_key_of, read_public_key
from farm.trust.ssh_signatures import verify
from tests.support.ssh_keys import ssh_public_key, worker_key

_POLICY = """
import sys
from farm.trust.policy_text import read_worker_key
read_worker_key(sys.argv[1])
assert "cryptography" not in sys.modules
"""
_PARTS = st.text("ab.", max_size=4)
_GLOBS = st.sampled_from(["docker.io/a/*", "**", "*/x?", "[::1]:5000/**", "localhost/a.b"])
_UNTIL = st.none() | st.integers(0, 4_000_000_000).map(float)
_NAMES = st.text("aZ0", min_size=1, max_size=8)


def _armored(data: bytes) -> str:
    text = base64.encodebytes(data).decode()
    return f"-----BEGIN SSH SIGNATURE-----\n{text}-----END SSH SIGNATURE-----\n"


def _some(values: st.SearchStrategy[str], least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(values, min_size=least, max_size=3, unique=True).map(tuple)


_ENTRIES = st.lists(
    st.tuples(_NAMES, st.integers(0, 5), _UNTIL), max_size=4, unique_by=(lambda e: e[0], lambda e: e[1])
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any valid policy."""
    return Policy(
        tuple(
            Maintainer(name, ssh_public_key(number), draw(_some(_GLOBS, 1)), draw(st.booleans()), until)
            for name, number, until in draw(_ENTRIES)
        ),
        tuple(
            WorkerKey(name, worker_key(number), draw(_some(st.sampled_from(ARCHES), 1)), until)
            for name, number, until in draw(_ENTRIES)
        ),
        draw(_some(st.sampled_from(SIGNATURES))),
        draw(st.integers(1, 10)),
        draw(_some(st.sampled_from(["*", "GOPROXY", "*_proxy"]))),
        draw(_some(_GLOBS)),
    )


@given(policies())
def test_any_policy_is_read_as_it_was_written(policy: Policy) -> None:
    assert policy_of("policy.yml", text_of(policy).encode()) == policy


@given(policies(), policies())
def test_a_policy_can_be_rewritten_into_any_other(before: Policy, after: Policy) -> None:
    text = f"# first\n{text_of(before)}# last\n"
    assert policy_of("", rewritten("", text.encode(), after).encode()) == after
    kept = replace(before, maintainers=_changed(before.maintainers, after.maintainers))
    edited = rewritten("", text.encode(), kept)
    assert edited.startswith("# first\n")
    assert "# last\n" in edited


def _changed(before: tuple[Maintainer, ...], after: tuple[Maintainer, ...]) -> tuple[Maintainer, ...]:
    """Those that are `after`, each in its place `before`."""
    keys = [one.key for one in before]
    return tuple(sorted(after, key=lambda one: keys.index(one.key) if one.key in keys else len(keys)))


@given(st.lists(st.sampled_from(["*", "?", "a", "b", "."]), max_size=8), _PARTS)
def test_without_a_slash_a_glob_matches_as_in_a_shell(glob: list[str], name: str) -> None:
    joined = "".join(glob)
    assert matches(name, [joined]) == fnmatchcase(name, joined)


@given(st.lists(st.sampled_from(["a", "b", "/"]), max_size=8), st.lists(_PARTS, max_size=3))
def test_a_glob_without_two_stars_never_matches_more_slashes_than_it_has(
    glob: list[str], name: list[str]
) -> None:
    pattern = "".join(glob).replace("b", "*").replace("**", "*").replace("**", "*").replace("**", "*")
    text = "/".join(name)
    if matches(text, [pattern]):
        assert text.count("/") == pattern.count("/")


@given(st.binary(max_size=200))
def test_any_bytes_as_a_policy_are_a_policy_or_an_error_of_the_farm(data: bytes) -> None:
    try:
        policy = policy_of("policy.yml", data)
    except SettingsError:
        return
    assert policy_of("policy.yml", text_of(policy).encode()) == policy


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda data: f"ssh-ed25519 {data.hex()}"))
def test_any_text_as_an_ssh_key_is_one_line_in_one_spelling_or_refused(text: str) -> None:
    try:
        key = read_public_key(text)
    except ValueError:
        return
    assert read_public_key(f"{key} comment") == key


@given(st.binary(max_size=120))
def test_any_bytes_as_an_ssh_key_are_a_key_or_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"SSH|cut off|RSA"):
        public_key_of(data)


@given(st.text(max_size=80) | st.binary(max_size=200).map(lambda data: _armored(b"SSHSIG\0\0\0\1" + data)))
def test_any_text_as_a_signature_is_refused_as_one_that_is_denied(signature: str) -> None:
    with pytest.raises(TrustDeniedError):
        verify(b"", signature, [ssh_public_key()])


@given(st.integers(0, 1000), st.integers(0, 90), st.integers(0, 255))
@example(0, 26, 7)  # a hybrid point, which OpenSSL reads and writes in its usual form
def test_a_workers_key_is_one_that_cryptography_reads_and_no_other(number: int, at: int, byte: int) -> None:
    der = bytearray(base64.b64decode(worker_key(number)))
    der[at] = byte
    text = base64.b64encode(der).decode()
    try:
        key = load_der_public_key(bytes(der))
    except (ValueError, UnsupportedAlgorithm):
        with pytest.raises(ValueError, match="must be"):
            read_worker_key(text)
    else:
        assert read_worker_key(text) == worker_key_text(key)
        again = load_der_public_key(base64.b64decode(read_worker_key(text)))
        assert again == key


def test_a_command_that_reads_a_policy_does_not_wait_for_cryptography() -> None:
    subprocess.run([sys.executable, "-c", _POLICY, worker_key()], check=True)

"""The policy: what it allows, and that nothing in it is guessed."""

from __future__ import annotations

import pytest

from farm.errors import PolicyError, SettingsError, TrustDeniedError
from farm.trust.policy import Maintainer, Policy, WorkerKey, ended, matches, text_of
from farm.trust.policy_text import policy_of
from farm.trust.policy_warnings import policy_warnings
from tests.support.ssh_keys import ssh_public_key, worker_key

ALICE = Maintainer("alice", ssh_public_key(1), ("docker.io/linuxkit/*",))
BUILDER = WorkerKey("arm64@rack3", worker_key(1), ("arm64",))
POLICY = Policy((ALICE,), (BUILDER,), ("cosign",), 2, ("GOPROXY", "*_proxy"), ("docker.io/docker/*",))
COMPLETE = f"""\
maintainers:
  - {{name: alice, key: "{ALICE.key} alice@laptop", may: ["docker.io/linuxkit/*"]}}
workers:
  - {{name: arm64@rack3, key: {BUILDER.key}, arches: [arm64]}}
signatures: [cosign]
attestations: 2
build-arguments: [GOPROXY, "*_proxy"]
frontends: ["docker.io/docker/*"]
"""


@pytest.mark.parametrize(
    ("glob", "name", "expected"),
    [
        ("docker.io/linuxkit/*", "docker.io/linuxkit/foo", True),
        ("docker.io/linuxkit/*", "docker.io/linuxkit/a/b", False),
        ("docker.io/linuxkit/**", "docker.io/linuxkit/a/b", True),
        ("docker.io/linuxkit/*", "docker.io/linuxkitten/foo", False),
        ("docker.io/linuxkit/*", "evil.example/docker.io/linuxkit/foo", False),
        ("docker.io/linuxkit/foo", "docker.io/linuxkit/foo2", False),
        ("docker.io/linuxkit/fo?", "docker.io/linuxkit/fo/", False),
        ("docker.io/linuxkit/f.o", "docker.io/linuxkit/fxo", False),
        ("[::1]:5000/*", "[::1]:5000/foo", True),
        ("**", "any.example/a/b/c", True),
        ("**", "name with blanks", False),
        ("**", "name\n", False),
        ("*_proxy", "https_proxy", True),
        ("*_proxy", "HTTPS_PROXY", False),
    ],
)
def test_a_star_stops_at_a_slash_and_two_do_not(glob: str, name: str, expected: bool) -> None:
    assert matches(name, [glob]) is expected


def test_a_maintainer_may_order_what_the_policy_allows_and_nothing_else() -> None:
    POLICY.may_order(ALICE, ["docker.io/linuxkit/foo"], release=False, at=0)
    names = [f"docker.io/other/p{number}" for number in range(5)]
    with pytest.raises(PolicyError) as caught:
        POLICY.may_order(ALICE, ["docker.io/linuxkit/foo", *names], release=False, at=0)
    assert str(caught.value) == (
        "alice may not order docker.io/other/p0, docker.io/other/p1, docker.io/other/p2 and 2 more "
        "(the policy allows only docker.io/linuxkit/*; change it or ask another one)"
    )
    assert (caught.value.exit_code, caught.value.retryable) == (4, False)
    assert isinstance(caught.value, TrustDeniedError)


def test_a_release_needs_a_permission_of_its_own() -> None:
    with pytest.raises(
        PolicyError, match=r"^alice may not release or adopt docker.io/linuxkit/foo \(set `release: true`"
    ):
        POLICY.may_order(ALICE, ["docker.io/linuxkit/foo"], release=True, at=0)


def test_what_a_removed_key_signed_before_still_counts_and_what_it_signs_now_does_not() -> None:
    (gone,) = ended([ALICE], "alice", 1000.0)
    POLICY.may_order(gone, ["docker.io/linuxkit/foo"], release=False, at=1000.0)
    with pytest.raises(
        PolicyError, match=r"^the policy has removed this key of alice: what it signed after 1970"
    ):
        POLICY.may_order(gone, ["docker.io/linuxkit/foo"], release=False, at=1000.1)


def test_a_removal_is_never_moved_to_a_later_time() -> None:
    assert ended(ended([ALICE], "alice", 1000.0), "alice", 2000.0) == ended([ALICE], "alice", 1000.0)
    assert ended([ALICE], "bob", 1000.0) == (ALICE,)


def test_keys_are_found_by_their_text() -> None:
    assert POLICY.maintainer_of(ALICE.key) == ALICE
    assert POLICY.maintainer_of(ssh_public_key(2)) is None
    assert POLICY.worker_of(BUILDER.key) == BUILDER
    assert POLICY.worker_of(worker_key(2)) is None


def test_an_order_may_set_only_the_build_arguments_that_the_policy_lists() -> None:
    assert POLICY.refused_build_arguments(["GOPROXY", "http_proxy", "BUILDKIT_SYNTAX", "goproxy"]) == (
        "BUILDKIT_SYNTAX",
        "goproxy",
    )


@pytest.mark.parametrize(
    ("image", "refused"),
    [
        ("docker/dockerfile:1.7", False),
        (f"docker.io/docker/dockerfile@sha256:{'0' * 64}", False),
        ("evil.example/docker/dockerfile:1", True),
        ("docker.io/docker/../evil", True),
        ("", True),
    ],
)
def test_a_frontend_is_judged_by_its_full_name(image: str, refused: bool) -> None:
    assert POLICY.refused_frontend(image) is refused


def test_without_a_policy_nothing_is_allowed() -> None:
    nothing = policy_of("policy.yml", b"")
    assert nothing == Policy()
    assert nothing.refused_build_arguments(["A"]) == ("A",)
    assert nothing.refused_frontend("docker/dockerfile")


def test_a_policy_is_read_and_written_completely() -> None:
    assert policy_of("policy.yml", COMPLETE.encode()) == POLICY
    assert policy_of("policy.yml", text_of(POLICY).encode()) == POLICY


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("attestations: 2", "attestation: 2", ":6: attestation: unknown field (did you mean attestations?)"),
        ("attestations: 2", "attestations: 0", ":6: attestations: must be from 1 to 10, not '0'"),
        ("attestations: 2", "attestations: two", ":6: attestations: must be a whole number, not 'two'"),
        ("[cosign]", "cosign", ":5: signatures: must be a list, not 'cosign'"),
        ("[cosign]", "[gpg]", ":5: signatures: 'gpg' is unknown (one of cosign, notary)"),
        ("[cosign]", "[cosign, cosign]", ":5: signatures: cosign is given twice"),
        ("[arm64]", "[arm]", ":4: workers.arches: 'arm' is unknown (one of "),
        ("[arm64]", "[]", ":4: workers.arches: must name an architecture"),
        ("arm64@rack3", '"a b"', ":4: workers.name: 'a b' must be letters"),
        ("name: alice, ", "", ":2: maintainers.name: '' must be letters"),
        (', may: ["docker.io/linuxkit/*"]', "", ":2: maintainers.may: must name what they may order"),
        ('["docker.io/linuxkit/*"]', "[linuxkit/*]", ":2: maintainers.may: linuxkit/* does not begin with"),
        ('["docker.io/linuxkit/*"]', '["docker.io/l k"]', ":2: maintainers.may: 'docker.io/l k' is no name"),
        ('["docker.io/linuxkit/*"]', f"[docker.io/{'*a' * 9}]", ":2: maintainers.may: 'docker.io/*a"),
        ("may:", "release: sometimes, may:", ":2: maintainers.release: must be true or false"),
        ("may:", "until: tomorrow, may:", ":2: maintainers.until: must be a time such as 2026"),
        ("may:", "until: , may:", ":2: maintainers.until: must be a time"),
        ("may:", "maximum: 3, may:", ":2: maintainers.maximum: unknown field"),
        (BUILDER.key, worker_key(1, "secp384r1"), ":4: workers.key: must be an ECDSA key on the curve P-256"),
        (BUILDER.key, BUILDER.key[:-4], ":4: workers.key: must be the base64 of a public key"),
        (BUILDER.key, '"*"', ":4: workers.key: must be the base64 of a public key"),
        (ALICE.key, "ssh-dss AAAA", ":2: maintainers.key: must be an SSH public key in one line"),
        (ALICE.key, f"cert-authority {ALICE.key}", ":2: maintainers.key: must be an SSH public key"),
        (ALICE.key, f"{ALICE.key[:-8]}", ":2: maintainers.key: the SSH public key is malformed"),
        (ALICE.key, ALICE.key.replace("-ed25519", "-rsa"), ":2: maintainers.key: the SSH public key"),
        (ALICE.key, "ssh-ed25519 !!!!", ":2: maintainers.key: the SSH public key is no base64"),
        ("frontends:", "cosign-keys: [abc]\nfrontends:", ":8: cosign-keys: must be a public key in PEM"),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_refused_with_file_line_and_field(old: str, new: str, message: str) -> None:
    assert old in COMPLETE
    with pytest.raises(SettingsError) as caught:
        policy_of("policy.yml", COMPLETE.replace(old, new).encode())
    assert str(caught.value).startswith(f"policy.yml{message}")


def test_a_name_has_one_key_at_a_time_and_keeps_its_earlier_ones() -> None:
    later = Maintainer("alice", ssh_public_key(2), ("**",))
    with pytest.raises(SettingsError, match=r":3: maintainers.name: is given twice, first in line 2"):
        policy_of("policy.yml", text_of(Policy((ALICE, later))).encode())
    rotated = Policy((*ended([ALICE], "alice", 1000.0), later))
    assert policy_of("policy.yml", text_of(rotated).encode()) == rotated


def test_a_key_is_of_one_maintainer_whatever_its_comment() -> None:
    text = text_of(Policy((ALICE, Maintainer("bob", f"{ALICE.key} other", ("**",)))))
    with pytest.raises(SettingsError, match=r":3: maintainers.key: is given twice, first in line 2"):
        policy_of("policy.yml", text.encode())


def test_aliases_do_not_multiply_and_a_tagged_value_makes_no_object() -> None:
    bomb = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(8)
    )
    for text in (bomb, "signatures: !!python/object/apply:os.system [id]", "[" * 5000):
        with pytest.raises(SettingsError, match=r"^policy.yml:\d"):
            policy_of("policy.yml", text.encode())


def test_a_check_warns_of_what_is_missing_and_of_a_key_with_two_uses() -> None:
    lacking = Policy(ended([ALICE], "alice", 10.0), (BUILDER,), ("cosign",), attestations=2)
    assert list(policy_warnings(lacking, ["arm64", "s390x"], now=20.0)) == [
        "no maintainer: nobody can order a build (farm policy add maintainer)",
        "attestations: 2 are demanded, and arm64 has only 1 worker(s)",
        "no worker for s390x: no image of it counts as built (farm policy add worker)",
        "signatures: cosign is demanded, and cosign-keys has no key",
    ]
    assert list(policy_warnings(Policy((ALICE,), (BUILDER,)), ["arm64"], now=20.0)) == []

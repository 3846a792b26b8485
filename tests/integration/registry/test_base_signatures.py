"""Base images while their tags are published and signed by somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farm.planning.look_up_bases import _ask_signers
from farm.trust.signer import Signature, SignedName
from tests.support.proxy.http_faults import preceded_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.model import Descriptor, Reference
    from tests.integration.registry.conftest import Repository
    from tests.support.proxy.http import HttpProxy


class _Slow:
    """A signer that shows a new signature only when it is asked for the third time."""

    def __init__(self, *indexes: Descriptor) -> None:
        self.indexes, self.asked = indexes, 0

    def signed(self, references: Iterable[Reference], *, to_sign: bool = False) -> dict[str, SignedName]:
        assert not to_sign
        self.asked += 1
        index = self.indexes[self.asked >= 3]
        tag = Signature(index.digest, index.size)
        return {one.name: SignedName(one.name, {str(one.tag): tag}) for one in references}


def ask(repository: Repository, read: str, signer: Any) -> Any:
    """What is known of the one tag, which referred to the digest `read` at first."""
    return _ask_signers(repository.registry, signer, {repository.reference: read})


def test_a_base_that_a_publisher_is_about_to_sign_is_read_again_and_not_refused(
    repository: Repository,
) -> None:
    old = repository.push_index(repository.push("amd64"))
    new = repository.push_index(repository.push("arm64"))
    # It has pushed and not yet signed; or it has signed since the tag was read.
    for read, signer in ((new.digest, _Slow(old, new)), (old.digest, _Slow(new, new))):
        digests, names, wrong = ask(repository, read, signer)
        assert digests == {repository.reference: new.digest}
        assert names[repository.reference.name].tags[repository.reference.tag].digest == new.digest
        assert wrong == {}


def test_a_base_that_stays_other_than_what_is_signed_is_refused(repository: Repository) -> None:
    old = repository.push_index(repository.push("amd64"))
    new = repository.push_index(repository.push("arm64"))
    _, _, wrong = ask(repository, new.digest, _Slow(old, old))
    assert f"but {old.digest} is signed: it was overwritten" in str(wrong[repository.reference])


def test_a_tag_that_is_moved_once_more_meanwhile_is_taken_as_what_is_signed(
    repository: Repository, proxy: HttpProxy
) -> None:
    """Whoever may push cannot slip in an image after the tag agreed with its signature."""
    old = repository.push_index(repository.push("amd64"))
    new = repository.push_index(repository.push("arm64"))
    evil, target = repository.push("s390x"), repository.at(proxy.address)
    # The tag is compared by HEAD; whoever believes what a GET says later gets the other index.
    proxy.breaks("GET", "/manifests/", preceded_by(lambda: repository.push_index(evil)), times=float("inf"))
    slow: Any = _Slow(old, new)
    digests, _, wrong = _ask_signers(repository.registry, slow, {target: new.digest})
    assert (digests, wrong) == ({target: new.digest}, {})

"""Files that an administrator names and that cannot be used: said as it is, and nothing is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.errors import InputError, TrustError
from farm.settings import Secret
from farm.trust.notary.deadline import Deadline
from farm.trust.notary.delegation import generate_delegation_key
from farm.trust.notary.keys import certified_key_id


@pytest.mark.parametrize("place", ["/proc/farm/keys", "/dev/null/keys"])
def test_a_directory_that_takes_no_key_is_named(place: str) -> None:
    with pytest.raises(InputError, match=f"^{place}: no key can be kept there"):
        generate_delegation_key(Path(place), Secret("long enough"))


def test_a_certificate_that_is_not_there_is_told_from_one_that_is_none(tmp_path: Path) -> None:
    deadline = Deadline.after(60, "reading it")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        certified_key_id(tmp_path / "none.crt", deadline)
    (tmp_path / "some.crt").write_text("no certificate")
    with pytest.raises(TrustError, match=r"holds no X\.509 certificate"):
        certified_key_id(tmp_path / "some.crt", deadline)

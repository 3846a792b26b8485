"""Files and directories that an administrator names and that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.errors import InputError, TrustError
from farm.settings import Secret
from farm.trust.notary.deadline import TrustDeadline
from farm.trust.notary.delegation import generate_delegation_key
from farm.trust.notary.keys import certified_key_id


@pytest.mark.parametrize("place", ["/proc/farm/keys", "/dev/null/keys"])
def test_a_directory_that_cannot_hold_a_key_is_named(place: str) -> None:
    with pytest.raises(InputError, match=f"^{place}: the key cannot be written there"):
        generate_delegation_key(Path(place), Secret("long enough"))


def test_a_missing_certificate_and_an_invalid_one_have_different_errors(tmp_path: Path) -> None:
    deadline = TrustDeadline.after(60, "reading it")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        certified_key_id(tmp_path / "none.crt", deadline)
    (tmp_path / "some.crt").write_text("no certificate")
    with pytest.raises(TrustError, match=r"contains no X\.509 certificate"):
        certified_key_id(tmp_path / "some.crt", deadline)

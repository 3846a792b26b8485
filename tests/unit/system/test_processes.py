"""The programs that the farm runs, on systems without setpriv."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAKE_AND_OPEN = """
import sys
sys.platform = sys.argv[2]
from pathlib import Path
from farm.errors import FarmError
from farm.settings import Secret
from farm.trust.notary.delegation import generate_delegation_key
from farm.trust.notary.keys import SigningKey, check_key
try:
    passphrase = Secret("long enough")
    made = generate_delegation_key(Path(sys.argv[1]), passphrase)
    check_key(SigningKey(made.key, passphrase), timeout=60)
except FarmError as error:
    sys.exit(str(error))
"""


def make_key(directory: Path, platform: str) -> subprocess.CompletedProcess[str]:
    """Make and open a key on a system with openssl and without setpriv."""
    return subprocess.run(
        [sys.executable, "-c", MAKE_AND_OPEN, str(directory / platform), platform],
        env={"PATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_setpriv_is_required_only_on_linux(tmp_path: Path) -> None:
    (tmp_path / "openssl").symlink_to(str(shutil.which("openssl")))
    mac = make_key(tmp_path, "darwin")
    assert (mac.returncode, mac.stderr) == (0, "")
    assert (tmp_path / "darwin" / "delegation.crt").exists()
    assert "the program setpriv is not installed" in make_key(tmp_path, "linux").stderr

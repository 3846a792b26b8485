"""The programs that the farm runs: on systems without setpriv, and what they print."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from farm.system.processes import read_in_bulk, running

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


def test_a_program_that_nobody_waits_for_is_killed() -> None:
    with running(["sleep", "1000"]) as process:
        pass
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the size of a pipe cannot be set")
def test_a_program_writes_as_much_as_the_buffer_holds_before_it_waits_for_its_reader() -> None:
    program = "import sys; sys.stdin.read(); sys.stdout.buffer.write(bytes(1 << 20))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        with read_in_bulk(process.stdout, 1 << 20) as output:
            process.stdin.close()
            assert process.wait(timeout=60) == 0
            assert output.read() == bytes(1 << 20)


def test_all_output_is_read_from_a_pipe_whose_size_the_system_does_not_change() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print('x' * 32768, end='')"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.wait(timeout=60)
        # A pipe cannot become smaller than what is in it.
        with read_in_bulk(process.stdout, 4096) as output:
            assert output.read() == b"x" * 32768

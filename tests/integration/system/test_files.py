"""Files that are written whole or not at all, and temporary files, also on a full disk."""

from __future__ import annotations

import errno
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.errors import CancelledError, FarmError, SettingsError, TemporaryFullError
from farm.monitor.flower_launch import flower_password
from farm.settings import Settings
from farm.system.files import make_private, put_in_place, spool, write_once
from tests.support.small_disk import fill, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a mebibyte."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def write_pieces(size: int, piece: int) -> None:
    """Write a temporary file in pieces."""
    with spool() as file:
        for _ in range(0, size, piece):
            file.write(bytes(piece))


def descriptors() -> str:
    """The files that this process has open, deleted ones included."""
    return "\n".join(str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())


def test_whoever_uses_a_file_of_work_that_was_stopped_ends_too() -> None:
    stopped = threading.Event()
    with spool(stopped) as file:
        file.write(bytes(MIB))
        file.seek(0)
        stopped.set()
        with pytest.raises(CancelledError):
            file.read(MIB)
        with pytest.raises(CancelledError):
            file.write(bytes(MIB))


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    write_once(tmp_path / "key", "first")
    write_once(tmp_path / "key", "second")
    assert (tmp_path / "key").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was made to survive a power failure so far."""
    done: list[str] = []

    def fsync(descriptor: int) -> None:
        done.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr("os.fsync", fsync)
    return done


def test_a_new_file_survives_a_power_failure_with_its_name_and_its_directories(
    tmp_path: Path, synced: list[str]
) -> None:
    """As a signing key must: a lost one cannot be replaced."""
    make_private(tmp_path / "trust" / "private")
    write_once(tmp_path / "trust" / "private" / "key", "secret")
    *above, content, name = synced
    assert sorted(above) == [str(tmp_path), str(tmp_path / "trust")]
    assert (Path(content).name[:5], name) == (".new-", str(tmp_path / "trust" / "private"))


def test_a_directory_of_files_gets_its_name_when_all_that_is_in_it_is_safe(
    tmp_path: Path, synced: list[str]
) -> None:
    """A backup, for example."""
    new, backup = tmp_path / "backup.new", tmp_path / "backup"
    new.mkdir()
    for part in ("a", "b"):
        (new / part).write_text(part)
    put_in_place(new, backup)
    assert {synced[0], synced[1]} == {str(new / "a"), str(new / "b")}
    assert synced[2:] == [str(new), str(tmp_path)]
    assert sorted(path.name for path in backup.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("left", [False, True])
def test_of_many_writers_one_creates_the_file_and_all_read_it(tmp_path: Path, left: bool) -> None:
    path, barrier = tmp_path / "key", threading.Barrier(16)
    if left:
        path.touch()

    def create(number: int) -> str:
        barrier.wait()
        write_once(path, f"created by {number}")
        return path.read_text()

    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(create, range(16)))
    assert found == {path.read_text()}
    assert path.read_text().startswith("created by ")
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_flower_gets_a_password_after_its_first_writer_was_killed(
    tmp_path: Path,
) -> None:
    (tmp_path / "flower.password").touch(0o600)
    password = flower_password(Settings(state_dir=tmp_path)).reveal()
    assert len(password) >= 16
    assert flower_password(Settings(state_dir=tmp_path)).reveal() == password


def test_flower_does_not_accept_an_empty_password(tmp_path: Path) -> None:
    (tmp_path / "flower.password").write_text("\n")
    with pytest.raises(SettingsError, match="contains no password"):
        flower_password(Settings(state_dir=tmp_path))


def test_flower_does_not_start_on_a_full_disk_and_gets_a_password_later(disk: Path) -> None:
    ballast = fill(disk)
    settings = Settings(state_dir=disk)
    for _ in range(2):
        with pytest.raises(SettingsError, match="cannot be written or read: No space left on device"):
            flower_password(settings)
    assert [path.name for path in disk.iterdir()] == ["ballast"]
    ballast.unlink()
    assert len(flower_password(settings).reveal()) >= 16


@pytest.mark.parametrize("piece", [100, 64 * 1024, 4 * MIB])
def test_a_full_temporary_directory_is_named_and_no_file_stays_open(
    monkeypatch: pytest.MonkeyPatch, disk: Path, piece: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with pytest.raises(
        TemporaryFullError, match=rf"^the temporary directory {disk} is full .*TMPDIR"
    ) as full:
        write_pieces(4 * MIB, piece)
    assert full.value.retryable
    assert isinstance(full.value.__cause__, OSError)
    assert full.value.__cause__.errno == errno.ENOSPC
    assert str(disk) not in descriptors()
    with spool() as file:
        file.write(bytes(MIB // 2))
        file.seek(0)
        assert file.read() == bytes(MIB // 2)


def test_a_missing_temporary_directory_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(FarmError, match=r"/gone: No such file or directory .*TMPDIR"):
        spool()

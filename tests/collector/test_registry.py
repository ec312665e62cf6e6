"""The entries by which processes find the run that is open now."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from umlaut_async.collector import meeting, registry
from umlaut_async.collector.address import Address, new_address, remove
from umlaut_async.collector.settings import Given, NameSource, RunSettings
from umlaut_async.store.location import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from umlaut_async.store.location import Location

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sockets of packets")


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the folder of entries in one of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("UMLAUT_COLLECTOR", raising=False)
    return tmp_path


@pytest.fixture
def address() -> Iterator[Address]:
    """Return the address of a collector that is there."""
    made = new_address("run", "database")
    assert made is not None
    yield made
    remove(made)


@pytest.fixture
def this() -> registry.Identity:
    """Return the identity of this process."""
    found = registry.identity(os.getpid())
    assert found is not None
    return found


def folder(base: Path) -> Path:
    return base / f"umlaut-{os.geteuid()}"


def described(location: Location, run: str) -> RunSettings:
    given = Given("runs.db", location.key, "", "a", "", NameSource.USER, None, (), "thread", 1.0)
    return RunSettings.described(location, None, given, 0)._replace(uuid=run)


def test_an_entry_is_found_until_it_is_taken_away(address: Address, this: registry.Identity) -> None:
    assert registry.find("database", this) is None
    registry.enter(address, this)
    assert registry.find("database", this) == address
    assert registry.find("another", this) is None
    assert registry.find("database", this, "kind") is None
    registry.leave(address, this)
    assert registry.find("database", this) is None


def test_a_later_run_takes_the_place_and_keeps_it(address: Address, this: registry.Identity) -> None:
    later = new_address("later", "database")
    assert later is not None
    registry.enter(address, this)
    registry.enter(later, this)
    # The end of the first must not take away the entry of the second.
    registry.leave(address, this)
    assert registry.find("database", this) == later
    remove(later)


def test_a_collector_that_has_gone_is_not_found(address: Address, this: registry.Identity) -> None:
    registry.enter(address, this)
    remove(address)
    assert registry.find("database", this) is None


def test_another_process_with_the_same_pid_is_another(address: Address, this: registry.Identity) -> None:
    registry.enter(address, this._replace(started=this.started - 1))
    assert registry.find("database", this) is None


@pytest.mark.parametrize("damage", [b"", b"\0", b"a\0b\0database\0x", b"\xff\0b\0database\0" + b"1", b"x" * 100_000])
def test_a_damaged_entry_is_none(base: Path, address: Address, this: registry.Identity, damage: bytes) -> None:
    registry.enter(address, this)
    [entry] = folder(base).iterdir()
    entry.write_bytes(damage)
    assert registry.find("database", this) is None


def test_a_link_in_the_place_of_an_entry_is_not_followed(base: Path, address: Address, this: registry.Identity) -> None:
    registry.enter(address, this)
    [entry] = folder(base).iterdir()
    entry.rename(base / "elsewhere")
    entry.symlink_to(base / "elsewhere")
    assert registry.find("database", this) is None


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_folder_that_others_can_enter_is_not_used(
    base: Path, address: Address, this: registry.Identity, mode: int
) -> None:
    registry.enter(address, this)
    folder(base).chmod(mode)
    assert registry.find("database", this) is None
    assert registry._own_folder() != str(folder(base))


def test_entries_and_their_folder_are_private(base: Path, address: Address, this: registry.Identity) -> None:
    registry.enter(address, this)
    [entry] = folder(base).iterdir()
    assert [oct(path.stat().st_mode & 0o777) for path in (folder(base), entry)] == ["0o700", "0o600"]


def test_only_the_entries_of_processes_that_have_ended_are_swept(
    base: Path, address: Address, this: registry.Identity
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        ended = registry.identity(process.pid)
    assert ended is not None
    registry.enter(address, this)
    registry.enter(address, ended)
    (folder(base) / "of-somebody-else").touch()
    registry.sweep()
    assert registry.find("database", this) == address
    assert registry.find("database", ended) is None
    assert len(list(folder(base).iterdir())) == 2


def test_a_process_finds_the_run_of_its_parent(address: Address, this: registry.Identity) -> None:
    registry.enter(address, this)
    program = "from umlaut_async.collector import registry; print(registry.collector_for('database').run)"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}])"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "run\n"
    # This process itself is in no run but its own.
    assert registry.collector_for("database") is None


def test_the_workers_of_a_process_meet_in_one_place(base: Path, this: registry.Identity) -> None:
    location = resolve(base / "runs.db")
    met: list[meeting.Meeting] = []

    def worker(number: int) -> None:
        settings = described(location, str(number))._replace(employer=this)
        met.append(meeting.meet(settings))

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.address for each in met}) == 1
    [first] = [each for each in met if each.listening is not None]
    assert registry.collector_for(location.key, kind=described(location, "").kind) == first.address
    assert registry.collector_for(location.key) is None
    assert first.listening is not None
    first.listening.close()
    remove(first.address)


def test_workers_without_a_folder_for_entries_cannot_meet(
    this: registry.Identity, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "bases", list)
    settings = described(resolve(base / "runs.db"), "run")._replace(employer=this)
    with pytest.raises(OSError, match="no folder"):
        meeting.meet(settings)

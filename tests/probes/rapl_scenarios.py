"""What happens to energy counters, on a fake machine; `python -m` runs one of these in a mount namespace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_rapl import CPU, POWERCAP, TOP, TOP_OF_DRAM, Domain, Machine
from umlaut_async.metrics.energy import REDUCTIONS, EnergyMetric
from umlaut_async.probes import UnavailableError, UnreadableError, rapl
from umlaut_async.probes.pyrapl import pyrapl
from umlaut_async.probes.rapl import Energy, EnergyReader, watts
from umlaut_async.records import CallRecord

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000_000
NOBODY = 65534


class Clock:
    def __init__(self) -> None:
        self.time = 0

    def __call__(self) -> int:
        return self.time


opened: list[EnergyReader] = []


def new_reader(clock: Callable[[], int] = perf_counter_ns) -> EnergyReader:
    opened.append(EnergyReader(clock))
    return opened[-1]


def call_of(duration: int) -> CallRecord:
    return CallRecord(1, 1, None, "task", 0, duration, "ok", None, None, None, None, (), ())


def spent(earlier: Energy, later: Energy) -> dict[str, Any] | None:
    """Return what EnergyMetric makes of two readings."""
    outcome = REDUCTIONS["energy"](call_of(SECOND), None, earlier, later, None, SECOND)
    if outcome is None:
        return None
    value, data = outcome
    assert data is not None
    assert value == sum(data["packages"])
    return data


def power(earlier: Energy, later: Energy, elapsed: int) -> float:
    """Return what PowerMetric makes of two readings."""
    outcome = REDUCTIONS["power"](call_of(elapsed), None, earlier, later, None, elapsed)
    assert outcome is not None
    return outcome[0]


def scripted(packages: str, dram: str, wraps: str) -> None:
    """Polled as often as it asks for, it counts exactly, whatever wraps meanwhile."""
    machine, clock = Machine(int(packages), dram == "dram"), Clock()
    watts_of = [100 + 50 * number for number in range(int(packages))]
    for package in machine.packages:
        package.count(TOP // 2 + 12345)
    for memory in machine.dram:
        memory.count(TOP_OF_DRAM - 1)
    reader = new_reader(clock)
    assert reader.keep_awake() is None
    entered = reader.read()
    begun = [package.counted for package in machine.packages]
    begun_dram = [memory.counted for memory in machine.dram]
    within = reader.keep_awake()
    assert within is not None
    assert within <= min([TOP, *(memory.top or 0 for memory in machine.dram)]) * 1000 // (4 * 500)
    step = within // 1_000_000 * 1_000_000
    while machine.packages[0].counted < (int(wraps) + 0.9) * TOP:
        clock.time += step
        machine.count(*(each * step // 1000 for each in watts_of), dram=20 * step // 1000)
        left = reader.read()
    assert machine.packages[0].counted // TOP == int(wraps)
    true = [package.counted - begin for package, begin in zip(machine.packages, begun, strict=True)]
    data = spent(entered, left)
    assert data is not None
    assert data["packages"] == true
    true_dram = [memory.counted - begin for memory, begin in zip(machine.dram, begun_dram, strict=True)]
    assert data.get("dram") == (true_dram or None)
    assert power(entered, left, clock.time) == pytest.approx(sum(watts_of), rel=0.01)


def step_of_power() -> None:
    """The integral of the samples is what the counter counted, on a step of the power and at uneven ticks."""
    machine, clock = Machine(), Clock()
    reader = new_reader(clock)
    entered = earlier = reader.read()
    integral = 0.0
    for tick in range(200):
        elapsed = (70 + 61 * tick % 60) * SECOND // 1000
        clock.time += elapsed
        machine.count((100 if tick < 100 else 300) * elapsed // 1000)
        later = reader.read()
        sample = watts(earlier, later, elapsed)
        assert sample is not None
        assert sample == pytest.approx(100 if tick < 100 else 300, rel=0.01)
        integral += sample * elapsed / 1000
        earlier = later
    data = spent(entered, earlier)
    assert data is not None
    assert data["packages"] == [machine.packages[0].counted]
    assert integral == pytest.approx(data["packages"][0], rel=0.02)


def error_once(error: str, counter: str) -> None:
    """A reading that fails is a gap: no number covers it, the next ones are right."""
    machine, clock = Machine(2, dram=True), Clock()
    reader = new_reader(clock)
    machine.count(5_000_000, 6_000_000, dram=1_000_000)
    entered = reader.read()
    clock.time += SECOND
    machine.count(100_000_000, 50_000_000, dram=9_000_000)
    before = reader.read()
    faulty = machine.packages[1] if counter == "package" else machine.dram[0]
    clock.time += SECOND
    if error == "EIO":
        faulty.counter.unlink()
        # At address 0 there is no memory of this process.
        faulty.counter.symlink_to("/proc/self/mem")
        message = ".*Input/output error"
    else:
        faulty.show("")
        message = "could not convert"
    if counter == "package":
        with pytest.raises(UnreadableError, match=f"intel-rapl:1/energy_uj could not be read: {message}"):
            reader.read()
    else:
        lacking = reader.read()
        assert spent(entered, lacking) == {"packages": [100_000_000, 50_000_000]}
        (lack,) = lacking.lacks
        assert (lack.part, lack.cure) == ("the memory (DRAM) of package 0", None)
        assert re.search(f"intel-rapl:0:1/energy_uj could not be read: {message}", lack.reason)
    if error == "EIO":
        faulty.counter.unlink()
    clock.time += SECOND
    machine.count(100_000_000, 50_000_000, dram=9_000_000)
    after = reader.read()
    assert before.lacks == after.lacks == ()
    assert spent(entered, before) == {"packages": [100_000_000, 50_000_000], "dram": [9_000_000] * 2}
    if counter == "package":
        assert spent(entered, after) is None
        assert watts(before, after, 2 * SECOND) is None
    else:
        assert spent(entered, after) == {"packages": [200_000_000, 100_000_000]}
    clock.time += SECOND
    machine.count(7_000_000, 8_000_000, dram=3)
    assert spent(after, reader.read()) == {"packages": [7_000_000, 8_000_000], "dram": [3, 3]}


def reset() -> None:
    """A counter that was set back, as by a machine that slept, is a gap and no wrap."""
    machine, clock = Machine(), Clock()
    reader = new_reader(clock)
    machine.count(TOP // 3)
    entered = reader.read()
    clock.time += SECOND
    machine.packages[0].counted = 0
    machine.count(1_000_000)
    resumed = reader.read()
    assert spent(entered, resumed) is None
    clock.time += SECOND
    machine.count(1_000_000)
    assert spent(resumed, reader.read()) == {"packages": [1_000_000]}


def unknown_range() -> None:
    """Where the range of a counter is not told, a lower value is a gap."""
    machine, clock = Machine(), Clock()
    (machine.packages[0].folder / "max_energy_range_uj").unlink()
    reader = new_reader(clock)
    machine.count(TOP - 1_000_000)
    entered = reader.read()
    assert reader.keep_awake() == pytest.approx(16 * SECOND, rel=0.1)
    clock.time += SECOND
    machine.count(2_000_000)
    wrapped = reader.read()
    assert spent(entered, wrapped) is None
    clock.time += SECOND
    machine.count(2_000_000)
    assert spent(wrapped, reader.read()) == {"packages": [2_000_000]}


def not_polled() -> None:
    """After a time in which the counter can have wrapped, nothing is known."""
    machine, clock = Machine(), Clock()
    reader = new_reader(clock)
    entered = reader.read()
    clock.time += TOP
    machine.count(2_000_000)
    assert spent(entered, reader.read()) is None


def permission(forbidden: str) -> None:
    """Who may not read the counters is told the command that allows it, and that command does."""
    machine = Machine(2, dram=True)
    for domain in machine.packages[1:] if forbidden == "one" else machine.packages + machine.dram + machine.others:
        domain.counter.chmod(0o400)
    pyrapl()  # The user nobody may not see the files of this interpreter.
    reader = new_reader()
    os.seteuid(NOBODY)
    with pytest.raises(UnavailableError) as refused:
        reader.read()
    os.seteuid(0)
    assert machine.packages[1].counter.stat().st_mode & 0o777 == 0o400
    assert "may not read" in refused.value.reason
    introduction, command = refused.value.cure.split(" sudo ")
    assert introduction == "run:"
    subprocess.run(command, shell=True, check=True)
    os.seteuid(NOBODY)
    entered = reader.read()
    os.seteuid(0)
    machine.count(1_000_000, 2_000_000, dram=5)
    os.seteuid(NOBODY)
    data = spent(entered, reader.read())
    os.seteuid(0)
    assert data == {"packages": [1_000_000, 2_000_000], "dram": [5, 5]}


def dram_forbidden(which: str) -> None:
    """The packages are read, though the memory may not be, and what would change that is told."""
    machine = Machine(2, dram=True)
    for memory in machine.dram if which == "all" else machine.dram[1:]:
        memory.counter.chmod(0o400)
    pyrapl()
    reader = new_reader()
    os.seteuid(NOBODY)
    entered = reader.read()
    os.seteuid(0)
    machine.count(1_000_000, 2_000_000, dram=3)
    os.seteuid(NOBODY)
    left = reader.read()
    os.seteuid(0)
    assert (len(entered.packages), len(entered.dram)) == (2, 0 if which == "all" else 1)
    dram = {} if which == "all" else {"dram": [3]}
    assert spent(entered, left) == {"packages": [1_000_000, 2_000_000]} | dram
    (lack,) = left.lacks
    assert entered.lacks == left.lacks
    assert lack.part == f"the memory (DRAM) of package {'0 and 1' if which == 'all' else '1'}"
    assert "may not read" in lack.reason
    assert lack.cure is not None
    subprocess.run(lack.cure.removeprefix("run: sudo "), shell=True, check=True)
    reader.close()
    os.seteuid(NOBODY)
    cured = reader.read()
    os.seteuid(0)
    assert (len(cured.dram), cured.lacks) == (2, ())


def dram_without_a_counter(how: str) -> None:
    """A memory whose counter is broken is told; one that is not counted at all lacks nothing."""
    machine = Machine(2, dram=True)
    if how == "broken":
        machine.dram[0].counter.unlink()
    else:
        machine.dram[0].remove()
    reading = new_reader().read()
    assert (len(reading.packages), len(reading.dram)) == (2, 1)
    if how == "broken":
        (lack,) = reading.lacks
        assert (lack.part, lack.cure) == ("the memory (DRAM) of package 0", None)
        assert re.search("pyRAPL cannot open its energy counter .*No such file", lack.reason)
    else:
        assert reading.lacks == ()


def dram_vanishing() -> None:
    """A memory whose counter goes is told, until it comes back."""
    machine, clock = Machine(2, dram=True), Clock()
    reader = new_reader(clock)
    entered = reader.read()
    folder = machine.dram[1].folder
    machine.dram.pop().remove()
    for _ in range(2):
        clock.time += SECOND
        machine.count(1_000_000, 2_000_000, dram=3)
        left = reader.read()
        assert (len(left.packages), len(left.dram)) == (2, 1)
        assert [lack.part for lack in left.lacks] == ["the memory (DRAM) of package 1"]
        assert re.search("intel-rapl:1:1/energy_uj has vanished", left.lacks[0].reason)
        reader.close()
    assert spent(entered, left) == {"packages": [2_000_000, 4_000_000]}
    machine.dram.append(Domain(folder, "dram", TOP_OF_DRAM))
    back = reader.read()
    assert (len(back.dram), back.lacks) == (2, ())


def vanishing() -> None:
    """Counters that vanish are a gap, and so is their return."""
    machine, clock = Machine(), Clock()
    reader = new_reader(clock)
    machine.count(1_000_000)
    entered = reader.read()
    machine.packages[0].remove()
    clock.time += SECOND
    with pytest.raises(UnavailableError):
        reader.read()
    machine.packages = [Domain(machine.packages[0].folder, "package-0")]
    machine.others = []
    machine.count(9_000_000)
    clock.time += SECOND
    back = reader.read()
    assert spent(entered, back) is None
    machine.count(1_000_000)
    assert spent(back, reader.read()) == {"packages": [1_000_000]}


def unplugged(number: str) -> None:
    """Of two packages one goes: no number covers that, those that follow are of the other."""
    machine, clock = Machine(2, dram=True), Clock()
    reader = new_reader(clock)
    entered = reader.read()
    machine.packages.pop(int(number)).remove()
    clock.time += SECOND
    machine.packages[0].count(1_000_000)
    after = reader.read()
    assert spent(entered, after) is None
    clock.time += SECOND
    machine.packages[0].count(2_000_000)
    assert spent(after, reader.read()) == {"packages": [2_000_000], "dram": [0]}
    assert after.lacks == ()


def topology(case: str) -> None:
    """All packages are read, whatever the topology of the CPUs tells."""
    machine = Machine(2, dram=True, sockets={"fewer": 1, "more": 3}.get(case))
    if case == "offline":
        (CPU / "cpu3" / "topology" / "physical_package_id").unlink()
    elif case == "none":
        (CPU / "present").unlink()
    reader = new_reader()
    entered = reader.read()
    machine.count(1_000_000, 2_000_000, dram=3)
    assert spent(entered, reader.read()) == {"packages": [1_000_000, 2_000_000], "dram": [3, 3]}


def unavailable(case: str) -> None:
    """A machine without counters that can be read says why, and what to do."""
    machine = Machine(1)
    if case == "nothing":
        subprocess.run(["umount", "/sys/class"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", "/sys/class"], check=True)
    elif case == "only mmio":
        machine.packages[0].remove()
        machine.others[1].remove()
        assert (POWERCAP / "intel-rapl-mmio").exists()
    elif case == "dies":
        (machine.packages[0].folder / "name").write_text("package-0-die-0\n")
        (machine.others[1].folder / "name").write_text("package-0-die-1\n")
    elif case == "no pyRAPL":
        sys.modules["pyRAPL"] = None  # type: ignore[assignment]
    else:
        machine.packages[0].counter.unlink()
    reader = new_reader()
    for _ in range(2):
        with pytest.raises(UnavailableError) as refused:
            reader.read()
        assert len(refused.value.reason.split()) > 4
        assert "modprobe" in refused.value.cure if case in ("nothing", "only mmio") else len(refused.value.cure) > 10
    assert reader.keep_awake() is None


def plain_pyrapl() -> None:
    """What is read is what pyRAPL itself reads, and another thing than cores and the whole system."""
    machine = Machine(2, dram=True)
    machine.count(10, 20, dram=30)
    reader = new_reader()
    sensor = pyrapl().Sensor()
    earlier, entered = sensor.energy(), reader.read()
    machine.count(1_000_000, 2_000_000, dram=3_000_000)
    later, left = sensor.energy(), reader.read()
    for api in sensor._device_api.values():
        for file in api._sys_files:
            file.close()
    assert spent(entered, left) == {"packages": list(later - earlier)[::2], "dram": list(later - earlier)[1::2]}


def closing() -> None:
    """Closing drops the files and not the counts."""
    machine = Machine()
    reader = new_reader()
    entered = reader.read()
    assert open_counters() == [str(machine.packages[0].counter)]
    reader.close()
    assert open_counters() == []
    machine.count(1_000_000)
    assert spent(entered, reader.read()) == {"packages": [1_000_000]}


def threads() -> None:
    """Several threads may read: none disturbs another."""
    machine = Machine(2, dram=True)
    reader = new_reader()
    first = reader.read()
    taken: list[list[Energy]] = [[], [], [], []]
    sys.setswitchinterval(1e-6)

    def read_often(readings: list[Energy]) -> None:
        readings.extend(reader.read() for _ in range(500))

    working = [threading.Thread(target=read_often, args=[readings]) for readings in taken]
    for thread in working:
        thread.start()
    while any(thread.is_alive() for thread in working):
        machine.count(10_001, 20_002, dram=3)
    assert [len(readings) for readings in taken] == [500] * 4
    for readings in taken:
        totals = [reading.packages[0].total for reading in (first, *readings)]
        assert totals == sorted(totals)
    assert spent(first, reader.read()) == {
        "packages": [package.counted for package in machine.packages],
        "dram": [memory.counted for memory in machine.dram],
    }


def fork() -> None:
    """A forked child reads for itself, though another thread was reading when it was forked."""
    Machine()
    metric = EnergyMetric("energy")
    metric.probe().read()
    parent = rapl._readers[os.getpid()]
    opened.append(parent)
    with parent._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            metric.probe().read()
            os._exit(0 if rapl._readers[os.getpid()] is not parent else 1)
        assert os.waitpid(child, 0) == (child, 0)
    metric.probe().read()


def open_counters() -> list[str]:
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            targets.append(os.readlink(descriptor))
        except OSError:
            pass
    return [target for target in targets if target.endswith("energy_uj")]


if __name__ == "__main__":
    scenario: Callable[..., None] = globals()[sys.argv[1]]
    scenario(*sys.argv[2:])
    for reader in opened:
        reader.close()

"""What power and energy metrics make of readings."""

from __future__ import annotations

from typing import Any

import pytest

from umlaut_async.errors import ArgumentError, ArgumentTypeError
from umlaut_async.metrics.edges import TooShortError
from umlaut_async.metrics.energy import REDUCTIONS, EnergyMetric, PowerMetric
from umlaut_async.probes import Place, UnreadableError
from umlaut_async.probes.rapl import Energy, watts
from umlaut_async.probes.unwrap import Count
from umlaut_async.records import CallRecord
from umlaut_async.summary import Summary, summarise

pytestmark = pytest.mark.alone

SECOND = 1_000_000_000


def reduce(
    name: str,
    entered: Energy | None,
    left: Energy | None,
    samples: Summary | None = None,
    elapsed: int = 2 * SECOND,
    duration: int = 2 * SECOND,
) -> tuple[float, dict[str, Any] | None] | None:
    reduction: Any = REDUCTIONS[name]
    record = CallRecord(1, 1, None, "task", 0, duration, "ok", None, None, None, None, (), ())
    outcome: tuple[float, dict[str, Any] | None] | None = reduction(record, None, entered, left, samples, elapsed)
    return outcome


def reading(*packages: int, dram: tuple[int, ...] = (), epoch: int = 1) -> Energy:
    return Energy(tuple(Count(epoch, each) for each in packages), tuple(Count(9, each) for each in dram))


ENTERED, LEFT = reading(5, 10, dram=(1,)), reading(100_000_005, 300_000_010, dram=(6_000_001,))


def test_identities() -> None:
    """Types and units are those of the database."""
    power, energy = PowerMetric("power", 0.5), EnergyMetric("energy")
    assert (power.measure_type, power.unit, power.interval) == ("power", "Watt", 0.5)
    assert (energy.measure_type, energy.unit, energy.interval) == ("energy", "µJ", None)
    assert energy.unit.encode() == b"\xc2\xb5J"
    assert repr(energy) == "EnergyMetric('energy')"
    for metric in (power, energy):
        probe = metric.probe()
        assert (probe.source, probe.place, probe.provenance) == ("rapl", Place.THREAD, "measured")
        assert metric.reduction in REDUCTIONS


def test_energy() -> None:
    """The value is the sum of the packages; each of them and the memory are beside it."""
    assert reduce("energy", ENTERED, LEFT) == (
        400_000_000,
        {"packages": [100_000_000, 300_000_000], "dram": [6_000_000]},
    )
    without_dram = (2, {"packages": [2]})
    assert reduce("energy", reading(1), reading(3)) == without_dram
    assert reduce("energy", reading(1, dram=(5,)), reading(3)) == without_dram


def test_power() -> None:
    """The value is the energy of the packages over the time between the readings, not a mean of samples."""
    outcome = reduce("power", ENTERED, LEFT, summarise((150.0, 250.0, 170.0)))
    assert outcome is not None
    assert outcome[0] == pytest.approx(200)
    assert outcome[1] == {
        "n": 3, "min": 150, "mean": 190, "max": 250, "first": 150, "last": 170,
        "packages": [50, 150], "dram": [3],
    }  # fmt: skip
    outcome = reduce("power", reading(0), reading(300_000_000))
    assert outcome is not None
    numbers = dict.fromkeys(("min", "mean", "max", "first", "last"), 150)
    assert outcome == (150, {"n": 1, "packages": [150], **numbers})


@pytest.mark.parametrize("name", ["power", "energy"])
def test_absent(name: str) -> None:
    """Where a reading or the time between is missing there is no number, least of all 0."""
    assert reduce(name, None, LEFT) is None
    assert reduce(name, ENTERED, None) is None
    assert reduce(name, ENTERED, ENTERED, elapsed=0) is None
    assert reduce(name, reading(5), reading(9, epoch=2)) is None
    assert reduce(name, reading(5, 6), reading(9)) is None


@pytest.mark.parametrize("name", ["power", "energy"])
def test_counters_that_did_not_move(name: str) -> None:
    """A CPU that runs uses energy: where its counters stand, the call was too short, or they are broken; 0 is wrong."""
    with pytest.raises(TooShortError):
        reduce(name, ENTERED, ENTERED, elapsed=2_000_000)
    with pytest.raises(UnreadableError, match="its counter did not move for 2 s"):
        reduce(name, ENTERED, ENTERED)


def test_readings_that_lie_off_the_edges() -> None:
    """Energy is scaled to the duration of the call, unless the two hardly differ; power is not."""
    energies = [reduce("energy", ENTERED, LEFT, elapsed=round(elapsed * SECOND)) for elapsed in (2.05, 4, 1)]
    assert energies == [
        (400_000_000, {"packages": [100_000_000, 300_000_000], "dram": [6_000_000]}),
        (200_000_000, {"packages": [50_000_000, 150_000_000], "dram": [3_000_000]}),
        (800_000_000, {"packages": [200_000_000, 600_000_000], "dram": [12_000_000]}),
    ]
    power = reduce("power", ENTERED, LEFT, elapsed=4 * SECOND)
    assert power is not None
    assert power[0] == pytest.approx(100)


def test_samples_are_the_power_between_ticks() -> None:
    """A sample is the mean power since the tick before; none covers a gap."""
    assert watts(ENTERED, LEFT, SECOND) == pytest.approx(400)
    assert watts(reading(1), reading(2, epoch=2), SECOND) is None
    assert watts(reading(1), reading(1), SECOND) == 0


def test_wrong_arguments() -> None:
    """They raise where they are passed."""
    with pytest.raises(ArgumentError):
        PowerMetric("power", 0)
    with pytest.raises(ArgumentError):
        EnergyMetric(" ")
    with pytest.raises(ArgumentTypeError):
        PowerMetric("power", "1")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        EnergyMetric("energy", 1)  # type: ignore[call-arg]

"""Real pyRAPL on fake counters, and the import of it."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from typing import TYPE_CHECKING

import pytest

from tests import fake_rapl
from tests.support import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import RunScript

on_a_fake_machine = pytest.mark.skipif(bool(fake_rapl.missing()), reason=fake_rapl.missing())

SCENARIOS = [
    *(("scripted", *case) for case in product("12", ("no dram", "dram"), "015")),
    ("step_of_power",),
    *(("error_once", *case) for case in product(("EIO", "empty"), ("package", "dram"))),
    ("reset",),
    ("unknown_range",),
    ("not_polled",),
    *(("permission", case) for case in ("all", "one")),
    *(("dram_forbidden", case) for case in ("all", "one")),
    *(("dram_without_a_counter", case) for case in ("broken", "none")),
    ("dram_vanishing",),
    ("vanishing",),
    *(("unplugged", number) for number in "01"),
    *(("topology", case) for case in ("fewer", "more", "offline", "none")),
    *(("unavailable", case) for case in ("nothing", "only mmio", "dies", "no pyRAPL", "no counter")),
    ("plain_pyrapl",),
    ("closing",),
    ("threads",),
    ("fork",),
]


@on_a_fake_machine
@pytest.mark.parametrize("scenario", SCENARIOS, ids=" ".join)
def test_counters(scenario: tuple[str, ...]) -> None:
    """What can happen to counters, each in a process and a mount namespace of its own."""
    fake_rapl.run("-W", "error", "-X", "dev", "-m", "tests.probes.rapl_scenarios", *scenario)


IMPORT = """
import logging, sys
from umlaut_async.probes.pyrapl import pyrapl

assert "pyRAPL" not in sys.modules
before = set(sys.modules)
module = pyrapl()
assert module.Sensor and module.PkgAPI and module.DramAPI
assert pyrapl() is module
assert not logging.getLogger().handlers
assert not {name for name in set(sys.modules) - before if name.partition(".")[0] in ("pyRAPL", "pandas", "pymongo")}

import warnings
warnings.simplefilter("ignore")
import pyRAPL
from pyRAPL.outputs import CSVOutput
assert pyRAPL.outputs.PrintOutput.__module__.startswith("pyRAPL")
assert pyRAPL is not module and pyrapl() is pyRAPL
"""


@pytest.mark.parametrize("installed", [True, False])
def test_import_is_quiet(tmp_path: Path, run_script: RunScript, installed: bool) -> None:
    """It needs no pandas and no pymongo, logs nothing and warns of nothing, and leaves a whole pyRAPL to others."""
    for name in ("pandas", "pymongo"):
        text = "class DataFrame: ...\nclass MongoClient: ...\n" if installed else "raise ImportError\n"
        (tmp_path / f"{name}.py").write_text(text)
    script = tmp_path / "quiet.py"
    # Elsewhere than in the cache there is no compiled pyRAPL, so its warnings at compilation come up.
    options = ("-W", "error", "-X", "dev", "-X", f"pycache_prefix={tmp_path / 'cache'}")
    script.write_text(IMPORT.partition("import warnings")[0])
    ended = subprocess.run(
        [sys.executable, *options, script], env=environment(), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert run_script(IMPORT).returncode == 0


def test_import_after_the_user() -> None:
    """Who has imported pyRAPL himself shares his with us."""
    text = "import pyRAPL; from umlaut_async.probes.pyrapl import pyrapl; assert pyrapl() is pyRAPL"
    subprocess.run([sys.executable, "-W", "ignore", "-c", text], env=environment(), capture_output=True, check=True)


def test_no_file_is_touched_before_the_first_reading() -> None:
    """A metric can be made and asked for its probe for nothing: that happens at the first call of a stage."""
    text = """
import sys
opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event in ("open", "import") else None)
from umlaut_async.metrics.energy import EnergyMetric, PowerMetric
del opened[:]
probes = EnergyMetric("e").probe(), PowerMetric("p").probe()
assert not opened, opened
assert "pyRAPL" not in sys.modules
assert probes[0].key == probes[1].key and probes[0].keep_awake() is None
"""
    subprocess.run([sys.executable, "-c", text], env=environment(), check=True)


@pytest.mark.skipif(os.path.exists("/sys/class/powercap/intel-rapl"), reason="this machine has energy counters")
def test_machine_without_counters() -> None:
    """Here there are none, and the reading says so."""
    from umlaut_async.metrics.energy import EnergyMetric
    from umlaut_async.probes import UnavailableError

    with pytest.raises(UnavailableError, match="no energy counters of CPU packages") as refused:
        EnergyMetric("energy").probe().read()
    assert "sudo modprobe" in refused.value.cure

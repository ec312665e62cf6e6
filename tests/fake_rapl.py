"""A machine with energy counters: fake trees in the place of the real ones, in a mount namespace of a child process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.support import ROOT, environment

POWERCAP = Path("/sys/class/powercap")
CPU = Path("/sys/devices/system/cpu")
TOP = 262_143_328_850
TOP_OF_DRAM = 65_712_999_613


@cache
def missing() -> str:
    """Return why there can be no such machine here; nothing if there can."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return "needs Linux, root and unshare(1)"
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/sys/class"], capture_output=True)
    return "" if tried.returncode == 0 else "needs the right to mount"


def run(*arguments: object, timeout: float = 50) -> str:
    """Run this interpreter in a mount namespace of its own and return what it prints; it must end well."""
    ended = subprocess.run(
        ["unshare", "-m", sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


class Domain:
    """The folder of one counter.

    Args:
        folder: Where it is.
        name: What it counts.
        top: Where it wraps; None for one that does not tell.
    """

    def __init__(self, folder: Path, name: str, top: int | None = TOP) -> None:
        self.folder = folder
        self.counter = folder / "energy_uj"
        self.counted = 0
        self.top = top
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        if top is not None:
            self.wrap_at(top)
        self.show(0)
        (POWERCAP / folder.name).symlink_to(folder)

    def wrap_at(self, top: int) -> None:
        """Set where the counter wraps."""
        self.top = top
        (self.folder / "max_energy_range_uj").write_text(f"{top}\n")

    def show(self, value: object) -> None:
        """Let the file say something, without a moment in which it is empty."""
        with open(os.open(self.counter, os.O_WRONLY | os.O_CREAT, 0o644), "w") as file:
            file.write(f"{value!s:<20}\n")

    def count(self, energy: int) -> None:
        """Add µJ, as the hardware does."""
        self.counted += energy
        self.show(self.counted if self.top is None else self.counted % self.top)

    def remove(self) -> None:
        """Let it vanish, with the domains inside."""
        shutil.rmtree(self.folder)
        for link in POWERCAP.glob("intel-rapl:*"):
            if not link.exists():
                link.unlink()


class Machine:
    """Counters and CPUs, mounted over those of the real machine; only for a process that `run` has started.

    Args:
        packages: How many packages have counters.
        dram: Whether they have counters for memory.
        sockets: How many sockets the topology of the CPUs tells; as many as packages unless given.
    """

    def __init__(self, packages: int = 1, dram: bool = False, sockets: int | None = None) -> None:
        for folder in (Path("/sys/class"), CPU):
            subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
        self.packages: list[Domain] = []
        self.dram: list[Domain] = []
        self.others: list[Domain] = []
        """What must not be counted, since it is contained in packages or contains them."""
        tree = POWERCAP / "intel-rapl"
        tree.mkdir(parents=True)
        for number in range(packages):
            folder = tree / f"intel-rapl:{number}"
            self.packages.append(Domain(folder, f"package-{number}"))
            self.others.append(Domain(folder / f"intel-rapl:{number}:0", "core"))
            if dram:
                self.dram.append(Domain(folder / f"intel-rapl:{number}:1", "dram", TOP_OF_DRAM))
        self.others.append(Domain(tree / f"intel-rapl:{packages}", "psys"))
        self.others.append(Domain(POWERCAP / "intel-rapl-mmio" / "intel-rapl-mmio:0", "package-0"))
        self._make_cpus(packages if sockets is None else sockets)

    def _make_cpus(self, sockets: int) -> None:
        for name in ("present", "possible", "online"):
            (CPU / name).write_text(f"0-{2 * sockets - 1}\n")
        for cpu in range(2 * sockets):
            topology = CPU / f"cpu{cpu}" / "topology"
            topology.mkdir(parents=True)
            (topology / "physical_package_id").write_text(f"{cpu // 2}\n")

    def count(self, *packages: int, dram: int = 0) -> None:
        """Let each package count its µJ, and each memory the same."""
        for package, energy in zip(self.packages, packages, strict=True):
            package.count(energy)
        for memory in self.dram:
            memory.count(dram)
        for other in self.others:
            other.count(7 * sum(packages) + 1_000_000)

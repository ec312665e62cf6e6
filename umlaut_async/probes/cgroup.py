"""What the control groups of a container or a service let this process have: cgroup v1, v2, and both at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNLIMITED = 2**60
"""From here on a number of bytes means that there is no limit: v1 says so by the largest number of pages, as bytes, and
some kernels by 2**64 - 1."""

MOUNT_POINT = "/sys/fs/cgroup"


class Limits(NamedTuple):
    """The limits; None where there is none."""

    version: str | None
    """v1, v2 or hybrid."""
    memory: int | None
    """Bytes, the least of this group and all above it."""
    cpu: float | None
    """Cores by quota over period, the least likewise."""
    cpus: int | None
    """CPUs in the cpuset."""


class Events(NamedTuple):
    """What the limits have cost so far; None where the kernel does not tell."""

    oom_kills: int | None
    throttled_usec: int | None
    periods_throttled: int | None
    memory_peak: int | None
    """Bytes."""


def limits(proc: str = "/proc", sys: str = MOUNT_POINT) -> Limits:
    """Return the limits of this process's control groups.

    Args:
        proc: Where the process file system is mounted.
        sys: What stands for `/sys/fs/cgroup`.
    """
    groups = _Groups(proc, sys)
    return Limits(
        groups.version(),
        min(_memory_limits(groups), default=None),
        min(_quotas(groups), default=None),
        next(filter(None, map(_cpuset, groups.chain("cpuset"))), None),
    )


def memory_limit(proc: str = "/proc", sys: str = MOUNT_POINT) -> int | None:
    """Return the bytes of memory that this process can have: those of the machine, or fewer by a control group."""
    known = [number for number in (limits(proc, sys).memory, host_memory(proc)) if number is not None]
    return min(known, default=None)


def cpu_limit(proc: str = "/proc", sys: str = MOUNT_POINT) -> float | None:
    """Return the cores that this process can use: by quota, cpuset, affinity, and as the machine has them."""
    found = limits(proc, sys)
    known = [number for number in (found.cpu, found.cpus, allowed_cpus(proc), os.cpu_count()) if number is not None]
    return float(min(known)) if known else None


def events(proc: str = "/proc", sys: str = MOUNT_POINT) -> Events:
    """Return what the limits have cost the control group of this process so far."""
    groups = _Groups(proc, sys)
    memory, cpu = groups.chain("memory"), groups.chain("cpu")
    nanoseconds = _nearest(cpu, lambda group: _field(group / "cpu.stat", "throttled_time"))
    return Events(
        _nearest(
            memory,
            lambda group: _field(group / "memory.events", "oom_kill"),
            lambda group: _field(group / "memory.oom_control", "oom_kill"),
        ),
        _nearest(cpu, lambda group: _field(group / "cpu.stat", "throttled_usec"))
        if nanoseconds is None
        else nanoseconds // 1000,
        _nearest(cpu, lambda group: _field(group / "cpu.stat", "nr_throttled")),
        _nearest(
            memory,
            lambda group: _number(group / "memory.peak"),
            lambda group: _number(group / "memory.max_usage_in_bytes"),
        ),
    )


def memory_group(proc: str = "/proc") -> str | None:
    """Return the path of the control group that bounds the memory of this process, as the kernel names it."""
    found = None
    for line in _text(Path(proc, "self", "cgroup")).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if "memory" in controllers.split(","):
            return path
        found = path if not controllers else found
    return found


def host_memory(proc: str = "/proc") -> int | None:
    """Return the bytes of memory of the machine."""
    kilobytes = _field(Path(proc, "meminfo"), "MemTotal:")
    return None if kilobytes is None else kilobytes * 1024


def allowed_cpus(proc: str = "/proc") -> int | None:
    """Return how many CPUs the affinity of this process has."""
    for line in _text(Path(proc, "self", "status")).splitlines():
        name, _, cpus = line.partition(":")
        if name == "Cpus_allowed_list":
            return _count(cpus)
    return None


def _memory_limits(groups: _Groups) -> Iterator[int]:
    for directory in groups.chain("memory"):
        for number in (
            _number(directory / "memory.max"),
            _number(directory / "memory.limit_in_bytes"),
            # Of v1: the least of all groups above, those that the container does not show included.
            _field(directory / "memory.stat", "hierarchical_memory_limit"),
        ):
            if number is not None and 0 <= number < _UNLIMITED:
                yield number


def _quotas(groups: _Groups) -> Iterator[float]:
    for directory in groups.chain("cpu"):
        quota, period = _number(directory / "cpu.cfs_quota_us"), _number(directory / "cpu.cfs_period_us")
        # Of v2: "max 100000" or "150000 100000".
        fields = _text(directory / "cpu.max").split()
        if len(fields) == 2:
            quota, period = _integer(fields[0]), _integer(fields[1])
        if quota is not None and period is not None and quota > 0 and period > 0:
            yield quota / period


def _cpuset(directory: Path) -> int | None:
    for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
        if found := _count(_text(directory / name)):
            return found
    return None


class _Mount(NamedTuple):
    root: str
    """The part of the hierarchy that is mounted here."""
    point: Path
    controllers: frozenset[str]
    """Empty for v2."""
    v2: bool


class _Groups:
    """Where the control groups of this process are."""

    def __init__(self, proc: str, sys: str) -> None:
        self._v1: dict[str, str] = {}
        self._v2: str | None = None
        for line in _text(Path(proc, "self", "cgroup")).splitlines():
            number, controllers, path = [*line.split(":", 2), "", ""][:3]
            if number == "0" and not controllers:
                self._v2 = path
            else:
                self._v1 |= dict.fromkeys(filter(None, controllers.split(",")), path)
        self._mounts = [*_mounts(proc, sys)] or [*_usual_mounts(sys, {*self._v1})]

    def version(self) -> str | None:
        resources = {"memory", "cpu", "cpuset"} & self._v1.keys()
        v1 = any(not mount.v2 and mount.controllers & resources for mount in self._mounts)
        v2 = self._v2 is not None and any(mount.v2 for mount in self._mounts)
        if v1 and v2:
            return "hybrid"
        return "v1" if v1 else "v2" if v2 else None

    def chain(self, controller: str) -> list[Path]:
        """Return the directory of this process's group for a controller, and those of the groups above it."""
        # A controller belongs to one hierarchy: to that of v2, unless v1 has it.
        v2 = controller not in self._v1
        path = self._v2 if v2 else self._v1[controller]
        if path is None:
            return []
        mounts = [mount for mount in self._mounts if (mount.v2 if v2 else controller in mount.controllers)]
        # Groups of others may be mounted as well, as those of a container, and parts of the own hierarchy.
        mounts.sort(key=lambda mount: (_inside(mount, path) is None, len(mount.root)))
        return _directories(mounts[0], path) if mounts else []


def _inside(mount: _Mount, path: str) -> str | None:
    """Return the path of a group below a mount; None where it is not in the part that is mounted there."""
    root = mount.root.rstrip("/")
    return path[len(root) :].strip("/") if path == root or path.startswith(f"{root}/") else None


def _directories(mount: _Mount, path: str) -> list[Path]:
    leaf = mount.point / (_inside(mount, path) or "")
    # A container sees the path of the host, but at the mount point its own group, or is told of "/..", outside of it.
    if ".." in leaf.parts or not leaf.is_dir():
        leaf = mount.point
    return [leaf, *(parent for parent in leaf.parents if parent.is_relative_to(mount.point))]


def _mounts(proc: str, sys: str) -> Iterator[_Mount]:
    for line in _text(Path(proc, "self", "mountinfo")).splitlines():
        mounted, _, filesystem = line.partition(" - ")
        place, kind = mounted.split(), filesystem.split()
        if len(place) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, point = _unescaped(place[3]), _unescaped(place[4])
        if point == MOUNT_POINT or point.startswith(f"{MOUNT_POINT}/"):
            point = sys + point[len(MOUNT_POINT) :]
        v2 = kind[0] == "cgroup2"
        yield _Mount(root, Path(point), frozenset() if v2 else frozenset(kind[2].split(",")), v2)


def _usual_mounts(sys: str, controllers: set[str]) -> Iterator[_Mount]:
    """Yield the mounts that most systems have, for want of a list of them."""
    for point in (Path(sys), Path(sys, "unified")):
        if (point / "cgroup.controllers").exists():
            yield _Mount("/", point, frozenset(), True)
    for controller in sorted(controllers):
        if (point := Path(sys, controller)).is_dir():
            yield _Mount("/", point, frozenset({controller}), False)


def _unescaped(text: str) -> str:
    """Return a path of the mount table as it is: it has spaces and the like in octal."""
    for code in ("\\040", "\\011", "\\012", "\\134"):
        text = text.replace(code, chr(int(code[1:], 8)))
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    return _integer(_text(path).strip())


def _field(path: Path, name: str) -> int | None:
    for line in _text(path).splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[0] == name:
            return _integer(fields[1])
    return None


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _count(ranges: str) -> int | None:
    """Return how many numbers a list such as "0-3,8" has."""
    total = 0
    for part in filter(None, (part.strip() for part in ranges.split(","))):
        first, _, last = part.partition("-")
        low, high = _integer(first), _integer(last or first)
        if low is None or high is None:
            return None
        total += high - low + 1
    return total or None


def _nearest(groups: list[Path], *readers: Callable[[Path], int | None]) -> int | None:
    """Return what the nearest group has: one whose controller is off has no files of it, and counts with its parent."""
    found = (read(group) for group in groups for read in readers)
    return next((number for number in found if number is not None), None)

"""The limits of control groups, in trees as systems of many kinds have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import fake_rapl
from tests.probes.memory_shares import FIXTURES
from umlaut_async.probes.cgroup import Events, allowed_cpus, cpu_limit, events, host_memory, limits, memory_limit

MIB = 2**20
HOST = 16_000_000 * 1024
V2 = "30 25 0:26 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "30 25 0:26 {root} {point} rw,nosuid shared:4 - cgroup cgroup rw,{controllers}"


class Machine:
    """A machine as its files show it."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.sys = str(folder / "proc"), str(folder / "cgroup")
        self.mounts: list[str] = []
        self.write("proc/meminfo", "MemTotal:       16000000 kB\nMemFree:         100 kB\n", folder)
        self.write("proc/self/status", "Name:\tpython\nCpus_allowed_list:\t0-7,9\n", folder)
        self.folder = folder
        Path(self.sys).mkdir()

    @staticmethod
    def write(path: str, text: str, folder: Path) -> None:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def belongs_to(self, *lines: str) -> None:
        self.write("proc/self/cgroup", "\n".join(lines) + "\n", self.folder)

    def mount(self, line: str, point: str, root: str = "/", controllers: str = "") -> None:
        self.mounts.append(line.format(point=point, root=root, controllers=controllers))
        self.write("proc/self/mountinfo", "\n".join(self.mounts) + "\n", self.folder)

    def group(self, path: str, **files: object) -> None:
        """Write the files of a group; a double underscore in a name stands for a dot."""
        for name, text in files.items():
            self.write(f"cgroup/{path}/{name.replace('__', '.')}", f"{text}\n", self.folder)

    def memory(self) -> int | None:
        return limits(self.proc, self.sys).memory

    def cpu(self) -> float | None:
        return limits(self.proc, self.sys).cpu


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without control groups."""
    return Machine(tmp_path)


@pytest.fixture
def v2(machine: Machine) -> Machine:
    """Return one whose process is in the group /app/worker of v2."""
    machine.belongs_to("0::/app/worker")
    machine.mount(V2, "/sys/fs/cgroup")
    machine.group("", cgroup__controllers="cpuset cpu memory")
    machine.group("app/worker", memory__max="max", cpu__max="max 100000")
    return machine


@pytest.fixture
def v1(machine: Machine) -> Machine:
    """Return one whose process is in the group /app/worker of v1."""
    machine.belongs_to("5:cpu,cpuacct:/app/worker", "4:memory:/app/worker", "3:cpuset:/app", "1:name=systemd:/app")
    machine.mount(V1, "/sys/fs/cgroup/cpu,cpuacct", controllers="cpu,cpuacct")
    machine.mount(V1, "/sys/fs/cgroup/memory", controllers="memory")
    machine.mount(V1, "/sys/fs/cgroup/cpuset", controllers="cpuset")
    machine.mount(V1, "/sys/fs/cgroup/systemd", controllers="name=systemd")
    machine.group("memory/app/worker", memory__limit_in_bytes=2**63 - 4096)
    machine.group("cpu,cpuacct/app/worker", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    return machine


def test_v2_without_limits_has_those_of_the_machine(v2: Machine) -> None:
    found = limits(v2.proc, v2.sys)
    assert found == ("v2", None, None, None)
    assert memory_limit(v2.proc, v2.sys) == HOST


def test_v2_limits_of_the_group_itself(v2: Machine) -> None:
    v2.group("app/worker", memory__max=512 * MIB, cpu__max="150000 100000", cpuset__cpus__effective="0-2,5")
    assert limits(v2.proc, v2.sys) == ("v2", 512 * MIB, 1.5, 4)
    assert memory_limit(v2.proc, v2.sys) == 512 * MIB
    assert cpu_limit(v2.proc, v2.sys) == min(1.5, os.cpu_count() or 1)


def test_v2_the_least_limit_of_all_groups_above_holds(v2: Machine) -> None:
    v2.group("app/worker", memory__max=512 * MIB, cpu__max="400000 100000")
    v2.group("app", memory__max=256 * MIB, cpu__max="25000 50000", cpuset__cpus__effective="0-1")
    assert limits(v2.proc, v2.sys) == ("v2", 256 * MIB, 0.5, 2)


def test_a_group_beside_it_does_not_count(v2: Machine) -> None:
    v2.group("other", memory__max=1, cpu__max="1 100000")
    v2.group("app/worker/below", memory__max=1)
    assert (v2.memory(), v2.cpu()) == (None, None)


def test_a_limit_above_the_memory_of_the_machine_is_none(v2: Machine) -> None:
    v2.group("app/worker", memory__max=HOST * 4)
    assert v2.memory() == HOST * 4
    assert memory_limit(v2.proc, v2.sys) == HOST


@pytest.mark.parametrize("root", ["/", "/docker/abc"])
def test_in_a_container_with_the_leaf_at_the_mount_point(machine: Machine, root: str) -> None:
    # The path is that of the host (no cgroup namespace), or "/" (one of its own).
    machine.belongs_to(f"0::{root}")
    machine.mount(V2, "/sys/fs/cgroup", root=root)
    machine.group("", memory__max=64 * MIB, cpu__max="50000 100000")
    assert limits(machine.proc, machine.sys) == ("v2", 64 * MIB, 0.5, None)


def test_a_path_of_the_host_that_the_container_does_not_have(machine: Machine) -> None:
    machine.belongs_to("0::/kubepods/pod1/abc")
    machine.mount(V2, "/sys/fs/cgroup")
    machine.group("", memory__max=64 * MIB)
    assert machine.memory() == 64 * MIB


def test_a_path_outside_of_the_namespace(machine: Machine) -> None:
    machine.belongs_to("0::/../../other")
    machine.mount(V2, "/sys/fs/cgroup")
    machine.group("", memory__max=64 * MIB)
    machine.write("../other/memory.max", "1", machine.folder)
    assert machine.memory() == 64 * MIB


def test_a_part_of_the_hierarchy_that_is_mounted_elsewhere(machine: Machine, tmp_path: Path) -> None:
    point = tmp_path / "my groups"
    machine.belongs_to("0::/pods/app/worker")
    machine.mount(V2, str(point).replace(" ", "\\040"), root="/pods")
    (point / "app" / "worker").mkdir(parents=True)
    (point / "app" / "memory.max").write_text(f"{32 * MIB}\n")
    assert machine.memory() == 32 * MIB


@pytest.mark.parametrize("first", ["/machine/box", "/app/worker", "/"])
def test_of_several_mounts_that_counts_which_shows_the_own_group_and_most_of_those_above(
    machine: Machine, tmp_path: Path, first: str
) -> None:
    machine.belongs_to("0::/app/worker")
    roots = {"/machine/box": "box", "/app/worker": "worker", "/": ""}
    for root in sorted(roots, key=lambda root: root != first):
        machine.mount(V2, f"/sys/fs/cgroup/{roots[root]}" if root == "/" else str(tmp_path / roots[root]), root=root)
    machine.group("../box", memory__max=1 * MIB)
    machine.group("../worker", memory__max=64 * MIB)
    machine.group("app/worker", memory__max=64 * MIB)
    machine.group("app", memory__max=32 * MIB)
    assert machine.memory() == 32 * MIB


def test_a_root_with_a_like_name_is_another(machine: Machine) -> None:
    machine.belongs_to("0::/pods2/app")
    machine.mount(V2, "/sys/fs/cgroup", root="/pods")
    machine.group("2/app", memory__max=1)
    machine.group("", memory__max=64 * MIB)
    assert machine.memory() == 64 * MIB


@pytest.mark.parametrize("sentinel", [2**63 - 1, 2**63 - 4096, 2**63 - 65536, 2**64 - 1, -1])
def test_v1_says_unlimited_in_many_ways(v1: Machine, sentinel: int) -> None:
    v1.group("memory/app/worker", memory__limit_in_bytes=sentinel)
    assert limits(v1.proc, v1.sys) == ("v1", None, None, None)
    assert memory_limit(v1.proc, v1.sys) == HOST


def test_v1_limits_nested(v1: Machine) -> None:
    v1.group("memory/app", memory__limit_in_bytes=300 * MIB)
    v1.group("memory/app/worker", memory__limit_in_bytes=400 * MIB)
    v1.group("cpu,cpuacct/app/worker", cpu__cfs_quota_us=30000, cpu__cfs_period_us=20000)
    v1.group("cpu,cpuacct/app", cpu__cfs_quota_us=100000, cpu__cfs_period_us=100000)
    v1.group("cpuset/app", cpuset__cpus="1,3,5-6")
    assert limits(v1.proc, v1.sys) == ("v1", 300 * MIB, 1.0, 4)


def test_v1_limits_above_what_the_container_shows(v1: Machine) -> None:
    v1.group(
        "memory/app/worker",
        memory__limit_in_bytes=400 * MIB,
        memory__stat=f"cache 1\nhierarchical_memory_limit {200 * MIB}\nhierarchical_memsw_limit 1",
    )
    assert v1.memory() == 200 * MIB


def test_hybrid_has_each_controller_where_it_is(v1: Machine) -> None:
    v1.belongs_to("5:cpu,cpuacct:/app", "4:cpuset:/", "1:name=systemd:/", "0::/unit")
    v1.mount(V2, "/sys/fs/cgroup/unified")
    v1.group("cpu,cpuacct/app", cpu__cfs_quota_us=50000, cpu__cfs_period_us=100000)
    v1.group("unified/unit", memory__max=128 * MIB, cpu__max="1 100000")
    assert limits(v1.proc, v1.sys) == ("hybrid", 128 * MIB, 0.5, None)


def test_v2_beside_v1_for_the_service_manager_alone(v2: Machine) -> None:
    v2.mount(V1, "/sys/fs/cgroup/systemd", controllers="name=systemd")
    v2.belongs_to("1:name=systemd:/app", "0::/app/worker")
    assert limits(v2.proc, v2.sys).version == "v2"


def test_without_a_table_of_mounts_the_usual_places_count(machine: Machine) -> None:
    machine.belongs_to("4:memory:/app", "0::/unit")
    machine.group("memory/app", memory__limit_in_bytes=100 * MIB)
    machine.group("unified", cgroup__controllers="")
    machine.group("unified/unit", cpu__max="20000 100000")
    assert limits(machine.proc, machine.sys) == ("hybrid", 100 * MIB, 0.2, None)


@pytest.mark.parametrize("text", ["", "max", "0 100000", "100000 0", "50000", "x y", "max 100000"])
def test_a_quota_that_is_none(v2: Machine, text: str) -> None:
    v2.group("app/worker", cpu__max=text)
    assert v2.cpu() is None


def test_a_machine_without_control_groups(machine: Machine) -> None:
    assert limits(machine.proc, machine.sys) == (None, None, None, None)
    assert events(machine.proc, machine.sys) == (None, None, None, None)
    assert memory_limit(machine.proc, machine.sys) == HOST
    assert allowed_cpus(machine.proc) == 9


def test_a_machine_without_any_of_these_files(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert memory_limit(nowhere, nowhere) is None
    assert cpu_limit(nowhere, nowhere) == os.cpu_count()


def test_the_affinity_bounds_the_cores(v2: Machine) -> None:
    v2.write("proc/self/status", "Cpus_allowed_list:\t3\n", v2.folder)
    assert cpu_limit(v2.proc, v2.sys) == 1


def test_v2_events(v2: Machine) -> None:
    v2.group(
        "app/worker",
        memory__events="low 0\noom 3\noom_kill 2\noom_group_kill 0",
        cpu__stat="usage_usec 9\nnr_periods 5\nnr_throttled 4\nthrottled_usec 77",
        memory__peak=5 * MIB,
    )
    assert events(v2.proc, v2.sys) == Events(2, 77, 4, 5 * MIB)


def test_events_of_a_group_without_the_controller_are_those_above(v2: Machine) -> None:
    v2.group("app", memory__events="oom_kill 1", cpu__stat="throttled_usec 5")
    assert events(v2.proc, v2.sys) == Events(1, 5, None, None)


def test_v1_events(v1: Machine) -> None:
    v1.group(
        "memory/app/worker",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 7",
        memory__max_usage_in_bytes=9 * MIB,
    )
    v1.group("cpu,cpuacct/app/worker", cpu__stat="nr_periods 5\nnr_throttled 4\nthrottled_time 77000")
    assert events(v1.proc, v1.sys) == Events(7, 77, 4, 9 * MIB)


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="needs the process file system of Linux")
def test_this_machine() -> None:
    host, memory, cpu = host_memory(), memory_limit(), cpu_limit()
    assert host is not None
    assert memory is not None
    assert cpu is not None
    assert 0 < memory <= host == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < cpu <= len(os.sched_getaffinity(0))


@pytest.mark.skipif(bool(fake_rapl.missing()), reason=fake_rapl.missing())
@pytest.mark.parametrize("fixture", FIXTURES)
def test_the_memory_of_a_stage_is_a_share_of_its_limit_or_of_the_machine(fixture: str) -> None:
    fake_rapl.run("-m", "tests.probes.memory_shares", fixture)

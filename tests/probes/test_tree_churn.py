"""A stage that starts 500 processes a second: nothing fails, and no stranger is counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import TRIES, environment, read, run_script_in

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs the process file system of Linux"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a compiler"),
    pytest.mark.alone,
]

RATE = 500

STARTER = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    int count = atoi(argv[1]);
    double rate = atof(argv[2]);
    pid_t *pids = calloc(count, sizeof *pids);
    srand(atoi(argv[3]));
    double began = now(), elapsed;
    for (int i = 0; i < count; i++) {
        int kind = rand() % 8;
        pid_t pid = kind < 3 ? vfork() : fork();
        if (pid == 0) {
            if (kind < 3) execl("/bin/true", "true", (char *) NULL);
            if (kind == 3) usleep(30000);
            if (kind == 4 && fork() == 0) _exit(0);
            _exit(0);
        }
        if (pid < 0) return 1;
        pids[i] = pid;
        while (waitpid(-1, NULL, WNOHANG) > 0);
        double ahead = began + (i + 1) / rate - now();
        if (ahead > 0) usleep(ahead * 1e6);
    }
    elapsed = now() - began;
    while (wait(NULL) > 0);
    printf("%f", elapsed);
    for (int i = 0; i < count; i++) printf(" %d", (int) pids[i]);
    puts("");
    return 0;
}
"""

STAGE = """
import asyncio, json, os, resource, subprocess, sys, time
from umlaut_async import Benchmark, BenchmarkSupervisor, CPUMetric, IOMetric, MemoryMetric
from umlaut_async.probes import own_threads
from umlaut_async.probes.tree_walk import Family

bm = Benchmark("runs.db")
metrics = [metric("tree", 0.01, children=True) for metric in (CPUMetric, MemoryMetric, IOMetric)]
seen = {}
walk = Family.read

def noting_read(self, measure):
    reading = walk(self, measure)
    for member in reading.living:
        seen.setdefault(member.key[0], member.parent and member.parent[0])  # Orphans lose their parent later.
    return reading

Family.read = noting_read

def used():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) - own_threads.cpu_time() / 1e9

@BenchmarkSupervisor(metrics, bm)
def stage():
    before = used()
    starter = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
    output = starter.communicate()[0].split()
    time.sleep(0.1)
    return used() - before, starter.pid, float(output[0]), [*map(int, output[1:])]

async def main():
    async with bm:
        cpu, starter, elapsed, started = stage()
    print(json.dumps({
        "cpu": cpu, "elapsed": elapsed, "started": started, "parents": {os.getpid(): 0, starter: os.getpid()},
        "seen": list(seen.items()),
    }))

asyncio.run(main())
"""


def measure(folder: Path, starter: Path, seconds: int, seed: int) -> float:
    """Check a stage that starts processes, beside strangers that do so too; return how many it started a second."""
    count = RATE * seconds
    strangers = subprocess.Popen([starter, str(20 * seconds), "20", "1"], stdout=subprocess.PIPE, env=environment())
    try:
        done = run_script_in(folder, STAGE, starter, count, RATE * 1.1, seed, timeout=60 + 10 * seconds)
    finally:
        foreign = {int(pid) for pid in strangers.communicate(timeout=60)[0].split()[1:]}
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    started, parents = set(told["started"]), {int(pid) for pid in told["parents"]}
    assert len(told["started"]) == count
    assert len(foreign) == 20 * seconds
    # Who is none of the processes named is a grandchild, which nobody but its parent knows.
    seen = dict(told["seen"])
    strange = {pid for pid in seen if pid not in started | parents and seen[pid] not in started}
    assert not strange
    assert not seen.keys() & (foreign - started)
    assert len(seen.keys() & started) > 10 * seconds
    database = folder / "runs.db"
    [call] = read(database, "select * from span")
    results = {row["type"]: row for row in read(database, "select * from result")}
    assert call["status"] == "ok"
    assert results.keys() == {"cpu", "memory", "io"}
    # Programs that are in memory already are started without any I/O.
    assert all(row["data"]["n"] > 10 * seconds and row["value"] >= (row["type"] != "io") for row in results.values())
    assert results["memory"]["value"] < 300
    counted = results["cpu"]["value"] / 100 * call["duration"] / 1e9
    assert 0.5 * told["cpu"] < counted < told["cpu"] + 0.3
    assert not read(database, "select * from event where kind not in ('missed-ticks', 'late')")
    return count / float(told["elapsed"])


def test_500_process_starts_a_second_disturb_nothing_and_no_stranger_is_counted(tmp_path: Path, soak: bool) -> None:
    source, starter = tmp_path / "starter.c", tmp_path / "starter"
    source.write_text(STARTER)
    subprocess.run(["gcc", "-O1", "-o", starter, source], check=True, timeout=60)
    rates: list[float] = []
    while len(rates) < TRIES and (not rates or rates[-1] < RATE):
        folder = tmp_path / str(len(rates))
        folder.mkdir()
        rates.append(measure(folder, starter, 10 if soak else 2, len(rates)))
    assert max(rates) >= RATE, f"the machine is too slow: it started {rates} processes a second"

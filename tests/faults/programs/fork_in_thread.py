"""A thread forks, and the child calls a stage and exits.

Its arguments are the path of the database and the collector. Prints the status of the child.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark(sys.argv[1], collector=sys.argv[2])
work = BenchmarkSupervisor([TimeMetric("time")], bm)(abs)


def fork() -> None:
    if (child := os.fork()) == 0:
        work(1)
        sys.exit(0)
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            print(status)
            return
        time.sleep(0.1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    print("still there")


work(0)
thread = threading.Thread(target=fork)
thread.start()
thread.join()

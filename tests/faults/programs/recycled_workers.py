"""Workers of a pool that are replaced after each task, in a program that records nothing itself.

Its arguments are the path of the database and the package with the pool. Prints how many calls it had stored.
"""

from __future__ import annotations

import importlib
import sqlite3
import sys
import time
from contextlib import closing

from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric

bm = Benchmark(sys.argv[1])


@BenchmarkSupervisor([TimeMetric("time")], bm)
def task(number: int) -> int:
    time.sleep(0.02)
    return number


if __name__ == "__main__":
    if sys.argv[2] == "joblib":
        from joblib import Parallel, delayed

        Parallel(n_jobs=2)(delayed(task)(number) for number in range(10))
    else:
        pool = importlib.import_module(sys.argv[2]).Pool(2, maxtasksperchild=1)
        pool.map(task, range(10), chunksize=1)
        pool.close()
        pool.join()
        with closing(sqlite3.connect(sys.argv[1])) as connection:
            print(connection.execute("select count(*) from span").fetchone()[0])

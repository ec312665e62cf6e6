"""A mistake is typed in an interactive session, which goes on and ends well.

Its arguments are the path of a database and where the collector runs. Prints the exit code of the session.
"""

from __future__ import annotations

import json
import subprocess
import sys

SESSION = """
from umlaut_async import *
bm = Benchmark({database!r}, collector={collector!r})
work = BenchmarkSupervisor([TimeMetric("time")], bm)(abs)
work(-1)
undefined_name
work(-2)
exit()
"""


def main() -> None:
    typed = SESSION.format(database=sys.argv[1], collector=sys.argv[2])
    ended = subprocess.run(
        [sys.executable, "-i", "-q"], input=typed, capture_output=True, text=True, timeout=30, check=False
    )
    json.dump({"code": ended.returncode, "mistakes": ended.stderr.count("NameError: ")}, sys.stdout)


main()

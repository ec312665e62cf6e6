"""What is known of how another process ended, whether its parent has waited for it or not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from umlaut_async.collector.death import Watch, described
from umlaut_async.records import UNKNOWN

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how a process ended that is no child")
ENDINGS = [
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "killed by SIGTERM"),
    ("import os; os._exit(3)", "exited with code 3 without closing"),
]


@LINUX
@pytest.mark.parametrize(("script", "words"), ENDINGS)
@pytest.mark.parametrize("waited_for", [False, True])
async def test_how_a_process_ended(script: str, words: str, waited_for: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", f"input(); {script}"], stdin=subprocess.PIPE) as process:
        watch = Watch(process.pid)
        try:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert await watch.ended()
            if waited_for:
                process.wait(10)
                # Kernels before 6.15 do not tell it any more.
                assert await watch.how() in (words, UNKNOWN)
            else:
                assert await watch.how() == words
        finally:
            watch.close()


@LINUX
async def test_a_process_that_goes_on_has_not_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        watch = Watch(process.pid)
        began = time.monotonic()
        assert "went on" in await watch.how()
        assert time.monotonic() - began < 30
        watch.close()
        process.communicate(b"\n")


def test_every_status_has_words() -> None:
    assert described(signal.SIGSEGV) == "killed by SIGSEGV"
    assert described(1 << 8) == "exited with code 1 without closing"
    assert described(63) in ("killed by signal 63", "killed by SIGRTMAX-1")

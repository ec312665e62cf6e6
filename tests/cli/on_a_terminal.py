"""A command on a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import sys
import warnings
from typing import TYPE_CHECKING

from tests import support

if TYPE_CHECKING:
    from collections.abc import Sequence


def on_a_terminal(arguments: Sequence[str], wanted: str = "", typed: str = "") -> tuple[str, int]:
    """Run a command on a terminal, type when a text is shown, and return what was shown and the exit code."""
    with warnings.catch_warnings():
        # Since 3.12 a fork beside threads warns; this child becomes another program at once.
        warnings.simplefilter("ignore", DeprecationWarning)
        child, terminal = pty.fork()
    if child == 0:
        os.environ.update(support.environment())
        os.execv(sys.executable, [sys.executable, "-m", "umlaut_async", *arguments])
    shown, asked = b"", False
    try:
        while True:
            # An interrupt that comes before the question is waited for may be swallowed: it is typed again then.
            if select.select([terminal], [], [], 2)[0]:
                shown += os.read(terminal, 4096)
            elif typed == "\x03":
                asked = False
            if not asked and wanted.encode() in shown:
                asked = True
                os.write(terminal, typed.encode())
    except OSError:  # what a terminal reads when its last program has ended
        pass
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    return shown.decode(), os.waitstatus_to_exitcode(status)

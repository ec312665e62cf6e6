"""Attend to a child as if one were not there: it gets the signals sent to this process, which stops and ends as it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from umlaut_async.commands.companions import Companions, is_stopped

if TYPE_CHECKING:
    import threading

_OWN = ("KILL", "STOP", "CHLD", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS", "PIPE", "XFSZ", "XCPU", "TTIN", "TTOU")
"""Signals that cannot be passed on, or that this process itself gives rise to."""
PASSED_ON = signal.valid_signals() - {getattr(signal, f"SIG{name}") for name in _OWN}
ENDING = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT}
_NO_CORE = 1
"""The limit at which the kernel writes no core file, and gives none to a program either."""
_CHANGES = os.WEXITED | os.WSTOPPED | os.WNOHANG
_STOPPED = (os.CLD_STOPPED, os.CLD_TRAPPED)
_OPPOSITE: dict[int, int] = {signal.SIGTSTP: signal.SIGCONT, signal.SIGCONT: signal.SIGTSTP}
"""What takes back a signal that has come before it."""
_LOOK = 0.02
"""How often something is looked at that is waited for, in seconds."""


class Attendant:
    """Takes over the signals of this process, which must have one thread, for the children that it will have."""

    def __init__(self) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON | {signal.SIGCHLD})
        """The signals that were blocked before."""
        self._companions = Companions()
        self.last: int | None = None
        """The last signal that was passed on, or came to the child as well."""

    def attend(self, child: int) -> None:
        """Wait until a child has ended, which is left to be waited for."""
        self._companions.watch(child, stopping=False)
        while (state := os.waitid(os.P_PID, child, _CHANGES | os.WNOWAIT)) is None or state.si_code in _STOPPED:
            if state is None:
                self._take(signal.sigwaitinfo(PASSED_ON | {signal.SIGCHLD}), child)
            elif (came := signal.sigtimedwait({signal.SIGCONT}, 0)) is not None:
                # It came after what has stopped the child. To stop now would take it back.
                self._take(came, child)
            else:
                self._stop(state.si_status, child)

    def wait(self, answered: threading.Event, patience: float, deaf: float) -> int | None:
        """Wait until something is answered, or this process is told to end; return the signal that says so.

        Args:
            answered: What is waited for.
            patience: For how many seconds.
            deaf: The seconds in which signals are still meant for a child that has ended.
        """
        began = time.monotonic()
        while not answered.wait(_LOOK) and time.monotonic() < began + patience:
            while (came := signal.sigtimedwait(ENDING, 0)) is not None:
                if time.monotonic() >= began + deaf:
                    return came.si_signo
        return None

    def dismiss(self) -> None:
        """Attend to no child any more; signals are not heard until the end of this process."""
        self._companions.close()

    def close(self) -> None:
        """Let go of the signals again."""
        self._companions.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def forget(self) -> None:
        """Let go of them in a forked child, which has them for itself."""
        self._companions.forget()
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def _take(self, came: signal.struct_siginfo, child: int) -> None:
        if came.si_signo != signal.SIGCHLD and not self._companions.woke(came):
            self.last = came.si_signo
            self._pass_on(came.si_signo, child)

    def _pass_on(self, number: int, child: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # What was sent to all processes of the group, as the terminal does, the child has got itself.
            if self._companions.saw(number) and os.getpgid(child) == os.getpgrp():
                return
            if _OPPOSITE.get(number) not in signal.sigpending():
                os.kill(child, number)

    def _stop(self, number: int, child: int) -> None:
        if number in PASSED_ON:
            # Else the witness would tell of it when this process is sent the next one, alone.
            self._companions.saw(number)
        self._companions.watch(child, stopping=True)
        if signal.SIGCONT not in signal.sigpending():
            with contextlib.suppress(ChildProcessError):  # It may have been killed meanwhile.
                os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOHANG)
            if is_stopped(child):
                # Sent while it is blocked, so that it is one with what the terminal may have sent.
                os.kill(os.getpid(), number)
                if number in PASSED_ON:
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
                    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        self._companions.watch(child, stopping=False)


def end_as(status: int) -> NoReturn:
    """End this process as one has ended whose status, as of `waitpid`, this is."""
    if os.WIFSIGNALED(status):
        die_of(os.WTERMSIG(status))
    _flush()
    os._exit(os.waitstatus_to_exitcode(status))


def die_of(number: int) -> NoReturn:
    """End this process by a signal."""
    _flush()
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0 if most == 0 else _NO_CORE, most))
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    time.sleep(1)
    os._exit(128 + number)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()

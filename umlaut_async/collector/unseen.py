"""Processes of this package that no `wait` of the measured program tells of, and that send it no SIGCHLD."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time

from umlaut_async.probes import helpers

_STACK = 256 * 1024
_PAUSE = 0.0005
# As `posix_spawn` of the C library does it, the calling thread stands still until the new process has ended. It shares
# the open files, since copies would keep open what the program closes meanwhile.
_SHARED_MEMORY, _SHARED_FILES, _CALLER_WAITS, _TELL_PID = 0x100, 0x400, 0x4000, 0x100000

_BEGIN = f"""
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
descriptor = int(sys.argv[1])
for number in map(int, os.listdir("/proc/self/fd")):
    if number > 2 and number != descriptor:
        try:
            os.close(number)
        except OSError:
            pass
os.set_inheritable(descriptor, False)
os.setsid()
with open("/proc/self/comm", "w") as file:
    file.write({helpers.NAME!r})
"""
# Who stops a job tells all of its processes. The shell and Python begin with all signals blocked, as the caller has.
_DEAF = """
for name in ("TERM", "HUP", "INT", "QUIT", "USR1", "USR2"):
    signal.signal(signal.Signals["SIG" + name], signal.SIG_IGN)
"""
_HEAR = """
signal.pthread_sigmask(signal.SIG_SETMASK, ())
"""


def run_python(program: str, descriptor: int, *arguments: str, options: str, background: bool = False) -> None:
    """Run a program in a Python of its own, which no `wait` tells of, and wait for its end.

    Args:
        program: Its text; it has its `descriptor` and `sys`.
        descriptor: The file that it inherits, and no other one.
        arguments: What it finds in `sys.argv` from the third on.
        options: Those of Python.
        background: Whether to leave it running, whatever signal asks it to end. It is then an orphan: the first process
            of a container, or one that has asked for orphans, is given it by the kernel.

    Raises:
        OSError: Nothing can be run so on this system.
    """
    if not sys.executable:
        raise OSError("this Python is part of another program")
    text = f"# {helpers.NAME}{_BEGIN}{_DEAF if background else ''}{_HEAR}{program}"
    command = shlex.join([sys.executable, options, "-c", text, str(descriptor), *arguments])
    redirected = f"{command} </dev/null >/dev/null 2>&1"
    os.set_inheritable(descriptor, True)
    _run_in_shell(f"{redirected} &" if background else f"exec {redirected}")


def _run_in_shell(command: str) -> None:
    """Do what `os.system` does in a child that has no signal for its end, which a plain `wait` passes over.

    The child must not be a program of its own: that would give it the signal again. So it runs the C function `system`
    in the memory of this process, and the shell is its child.
    """
    if sys.platform != "linux":
        raise OSError("only Linux has children without a signal")
    try:
        import ctypes
        import mmap

        library = ctypes.CDLL(None, use_errno=True)
        clone, system = library.clone, ctypes.cast(library.system, ctypes.c_void_p)
    except (ImportError, AttributeError) as error:
        raise OSError(str(error)) from None
    stack = mmap.mmap(-1, _STACK)
    bottom = ctypes.c_char.from_buffer(stack)
    top = ctypes.c_void_p((ctypes.addressof(bottom) + _STACK) & ~63)
    pid = ctypes.c_int(0)
    flags = _SHARED_MEMORY | _SHARED_FILES | _CALLER_WAITS | _TELL_PID
    with helpers.beginning(pid):
        # Else a signal for all processes of the terminal would run the handlers of this one a second time.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            if clone(system, top, flags, ctypes.c_char_p(os.fsencode(command)), ctypes.byref(pid), None, None) < 0:
                raise OSError(ctypes.get_errno(), f"clone: {os.strerror(ctypes.get_errno())}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            while helpers.reap(pid.value) is None:
                time.sleep(_PAUSE)
        except ChildProcessError:
            pass  # Somebody waits for children of all kinds.
    del bottom
    stack.close()

"""Processes of this package that no `wait` of the measured program tells of, and that send it no SIGCHLD."""

from __future__ import annotations

import os
import shlex
import signal
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from umlaut_async.collector.modules import working_directory
from umlaut_async.probes import helpers

if TYPE_CHECKING:
    from collections.abc import Sequence

_STACK = 64 * 1024
_CONTEXT = 8 * 1024
"""Bytes of which no machine needs more for the registers of a thread."""
_ACTIONS = 512
"""Bytes of which no C library needs more for what is to be done before a program begins."""
_PAUSE = 0.0005
_SIGNAL_AT_END_OF_PARENT = 1
# As `posix_spawn` of the C library does it, the calling thread stands still until the new process has ended. It shares
# the open files, since copies would keep open what the program closes meanwhile.
_SHARED_MEMORY, _SHARED_FILES, _CALLER_WAITS, _TELL_PID = 0x100, 0x400, 0x4000, 0x100000

# A folder of PYTHONPATH comes last: what is there may be meant for others, and must hide nothing of Python's own.
_BEGIN = f"""
import os, sys
given = set() if sys.flags.ignore_environment else set(os.environ.get("PYTHONPATH", "").split(os.pathsep))
given |= {{os.path.realpath(entry) for entry in given if entry}}
sys.path.sort(key=lambda entry: entry in given or os.path.realpath(entry) in given)
import signal
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


def run_python(
    program: str, descriptor: int, *arguments: str, options: Sequence[str], background: bool = False
) -> None:
    """Run a program in a Python of its own, which no `wait` tells of, and wait for its end.

    Args:
        program: Its text; it has its `descriptor`, `os` and `sys`.
        descriptor: The file that it inherits, and no other one.
        arguments: What it finds in `sys.argv` from the third on.
        options: Those of Python.
        background: Whether to leave it running, whatever signal asks it to end. It is then an orphan: the first process
            of a container, or one that has asked for orphans, is given it by the kernel.

    Raises:
        OSError: Nothing can be run so on this system.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("this Python is part of another program")
    text = f"# {helpers.NAME}{_BEGIN}{_DEAF if background else ''}{_HEAR}{program}"
    command = shlex.join([sys.executable, *options, "-c", text, str(descriptor), *arguments])
    redirected = f"{command} </dev/null >/dev/null 2>&1"
    os.set_inheritable(descriptor, True)
    _run_in_shell(f"{redirected} &" if background else f"exec {redirected}")


def _run_in_shell(command: str) -> None:
    """Run a shell in a child that has no signal for its end, which a plain `wait` passes over, and wait for its end.

    The child must not be a program of its own: that would give it the signal again. So it calls functions of the C
    library in the memory of this process, and the shell is its child.
    """
    if sys.platform != "linux":
        raise OSError("only Linux has children without a signal")
    try:
        import ctypes
        import mmap

        library = ctypes.CDLL(None, use_errno=True)
        clone = library.clone
    except (ImportError, AttributeError) as error:
        raise OSError(str(error)) from None
    pid, shell = ctypes.c_int(0), ctypes.c_int(0)
    text = ctypes.c_char_p(os.fsencode(command))
    words = (ctypes.c_char_p * 4)(b"sh", b"-c", text.value)
    environment, actions = ctypes.c_void_p.in_dll(library, "environ"), _actions(library)
    steps = [
        # Else it would keep the memory and the files of a program that has ended.
        ("prctl", ctypes.c_ulong(_SIGNAL_AT_END_OF_PARENT), ctypes.c_ulong(signal.SIGKILL)),
        ("posix_spawn", ctypes.byref(shell), b"/bin/sh", actions, None, words, environment),
        ("waitpid", ctypes.c_long(-1), None, ctypes.c_ulong(0)),
        ("_exit", ctypes.c_ulong(0)),
    ]
    memory = mmap.mmap(-1, _STACK * (len(steps) + 1))
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    top = ctypes.c_void_p(begin + len(memory))
    flags = _SHARED_MEMORY | _SHARED_FILES | _CALLER_WAITS | _TELL_PID
    with helpers.beginning(pid):
        # Else a signal for all processes of the terminal would run the handlers of this one a second time.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            if in_steps := hasattr(library, "makecontext"):
                _prepare(library, begin, steps)
                function, argument = library.setcontext, ctypes.c_void_p(begin)
            else:
                # That of musl, which keeps nothing where others would find it.
                function, argument = library.system, ctypes.cast(text, ctypes.c_void_p)
            if clone(ctypes.cast(function, ctypes.c_void_p), top, flags, argument, ctypes.byref(pid), None, None) < 0:
                raise OSError(ctypes.get_errno(), f"clone: {os.strerror(ctypes.get_errno())}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            while helpers.reap(pid.value) is None:
                time.sleep(_PAUSE)
        except ChildProcessError:
            pass  # Somebody waits for children of all kinds.
    memory.close()
    if in_steps and not shell.value:
        raise OSError("no shell could be started")


def _actions(library: Any) -> Any:
    """Return what is to be done before the shell begins.

    Without a working directory a shell complains, and Python does not begin where anything is relative to it.
    """
    if working_directory() is not None or not hasattr(library, "posix_spawn_file_actions_addchdir_np"):
        return None
    import ctypes

    actions = ctypes.create_string_buffer(_ACTIONS)
    library.posix_spawn_file_actions_init(actions)
    library.posix_spawn_file_actions_addchdir_np(actions, os.fsencode(os.sep))
    return actions


def _prepare(library: Any, begin: int, steps: Sequence[tuple[Any, ...]]) -> None:
    """Let `setcontext`, given this address, call C functions in turn; the last of them must not return.

    The obvious `system` would not do. That of glibc counts the calls of it that are under way, and the last of them to
    end restores what SIGINT and SIGQUIT do. The count is in the memory, which the child shares, but what the signals do
    is not: a program that runs `os.system` meanwhile would go on without Ctrl-C.
    """
    import ctypes

    for number, (name, *arguments) in enumerate(steps):
        context = begin + number * _STACK
        library.getcontext(ctypes.c_void_p(context))
        # What comes next, and the stack: where it is, its flags and its size.
        fields = struct.pack("@PPiN", context + _STACK, context + _CONTEXT, 0, _STACK - _CONTEXT)
        ctypes.memmove(context + struct.calcsize("@L"), fields, len(fields))
        library.makecontext(ctypes.c_void_p(context), getattr(library, name), len(arguments), *arguments)

"""The system call `kcmp` of Linux: whether two processes are one in something."""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "ppc64le": 354, "s390x": 343}
_MEMORY = 1


def share_memory(pid: int, other: int) -> bool | None:
    """Return whether two processes have one address space, as a child of `vfork` and its parent until it executes.

    Returns:
        None where the kernel does not tell.
    """
    call = _system_call()
    answer = -1 if call is None else call(pid, other, _MEMORY)
    return None if answer < 0 else answer == 0


@cache
def _system_call() -> Callable[[int, int, int], int] | None:
    number = _NUMBERS.get(platform.machine())
    if number is None or os.uname().sysname != "Linux":
        return None
    import ctypes

    syscall = ctypes.CDLL(None).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong]
    return lambda pid, other, what: int(syscall(number, pid, other, what, 0, 0))

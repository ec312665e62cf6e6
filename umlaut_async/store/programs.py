"""Whether a process still runs the program that it ran, or has become another one by exec under the same number."""

from __future__ import annotations

import hashlib

__all__ = ["mark"]

_START_OF_STACK = 28
"""The field of /proc/PID/stat that says where the stack begins. Linux chooses that anew at each exec."""


def mark(pid: int, salt: str) -> str | None:
    """Return a word that stays the same as long as a process runs one program; None where there is none.

    It is so short that it does not tell where the stack is, which is nobody's business.

    Args:
        pid: The process.
        salt: Makes the words of one process different.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The first field here is the third of the file.
            start = int(file.read().rpartition(b")")[2].split()[_START_OF_STACK - 3])
    except (OSError, ValueError, IndexError):
        return None
    # Of processes of other users it says 0.
    return hashlib.blake2s(f"{salt} {start}".encode(), digest_size=2).hexdigest() if start > 0 else None

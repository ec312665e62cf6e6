"""What an error code of NVML means: that a number can never be had here, or not this time."""

from __future__ import annotations

from typing import NamedTuple

from umlaut_async.probes.probe import UnavailableError, UnreadableError

UNINITIALIZED = 1
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NO_PERMISSION = 4
NOT_FOUND = 6
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
LIB_RM_VERSION_MISMATCH = 18
ARGUMENT_VERSION_MISMATCH = 25
DEPRECATED = 26
GPU_NOT_FOUND = 28

NO_SUCH_DEVICE = frozenset({INVALID_ARGUMENT, NOT_FOUND, GPU_NOT_FOUND})
"""What NVML answers where it is asked for a device that there is not."""
STALE_DEVICE = NO_SUCH_DEVICE | {GPU_IS_LOST, RESET_REQUIRED}
"""After these the handle of the device is of no more use."""
LOST_SESSION = frozenset({UNINITIALIZED, DRIVER_NOT_LOADED, LIB_RM_VERSION_MISMATCH})
"""After these NVML must be initialised again."""
NO_FUNCTION = frozenset({FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH, DEPRECATED})
"""What a driver answers that is too old, or too new, for a function."""


class _Cause(NamedTuple):
    reason: str
    cure: str


_OTHER_VERSION = _Cause(
    "the NVIDIA driver has no such function that this nvidia-ml-py knows",
    "update the NVIDIA driver, or `pip install -U nvidia-ml-py`",
)
_FINAL: dict[int, _Cause] = {
    NOT_SUPPORTED: _Cause(
        "the GPU does not report it",
        "use a GPU that does; a MIG device reports its memory only, and a GPU in MIG mode has no utilisation",
    ),
    NO_PERMISSION: _Cause(
        "this user has no permission to read it", "run as root, or give this user access to the files /dev/nvidia*"
    ),
    DRIVER_NOT_LOADED: _Cause("the NVIDIA driver is not loaded", "load it with `sudo modprobe nvidia`"),
    LIBRARY_NOT_FOUND: _Cause(
        "the library of the NVIDIA driver, libnvidia-ml.so.1, was not found",
        "install the NVIDIA driver; a container needs the NVIDIA container toolkit and `docker run --gpus all`",
    ),
} | dict.fromkeys(NO_FUNCTION, _OTHER_VERSION)
_HINTS = {
    LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated while it was in use: restart the process, or reboot",
    GPU_IS_LOST: "the GPU has fallen off the bus: reboot, and look for Xid errors in `dmesg`",
    RESET_REQUIRED: "the GPU must be reset: `sudo nvidia-smi --gpu-reset`",
}


def code_of(error: BaseException) -> int | None:
    """Return the code of an error of `pynvml`; None for any other."""
    code = getattr(error, "value", None)
    return code if isinstance(code, int) else None


def explained(error: Exception, what: str, *, worked: bool) -> UnavailableError | UnreadableError:
    """Return the error to raise for one that a call into `pynvml` raised.

    Args:
        error: What it raised.
        what: What was to be read, with its GPU.
        worked: Whether NVML has given a reading in this process before, so that a missing driver may come back.
    """
    code = code_of(error)
    if isinstance(error, AttributeError):
        return UnavailableError(
            f"{what} cannot be read: the installed pynvml is too old ({error})", "`pip install -U nvidia-ml-py`"
        )
    if code in _FINAL and not (worked and code in LOST_SESSION):
        cause = _FINAL[code]
        return UnavailableError(f"{what} cannot be read: {cause.reason} (NVML error {code})", cause.cure)
    if code is None:
        return UnreadableError(f"{what} could not be read: {type(error).__name__}: {error}")
    hint = f"; {_HINTS[code]}" if code in _HINTS else ""
    return UnreadableError(f"{what} could not be read: {_name(error, code)}{hint}")


def _name(error: Exception, code: int) -> str:
    try:
        text = str(error).rstrip(".")
    except Exception:
        text = "of unknown meaning"
    return f"NVML error {code}, {text}"

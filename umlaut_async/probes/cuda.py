"""Moments on a GPU: CUDA events, recorded through torch on the current stream of the caller.

The caller only puts an event into the stream, which takes a few microseconds and waits for nothing. When the GPU has
reached both events of a call, the collector asks for the time between them.

torch takes seconds to import and CUDA to initialise, and both change the process for good. So neither is done here: a
call that begins before the user's code has done both has no GPU time, and the reason says what to do.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from umlaut_async.probes.probe import Place, Probe, UnavailableError, UnreadableError


def gpu_moment() -> Probe:
    """Return the probe of the present moment on the caller's current CUDA stream.

    A reading is an event, or in its place the error that says why there is none: a reading is taken on the measured
    path, where an exception would cost more and reach nobody.
    """
    return Probe("cuda-event", _record, "cuda-event", Place.CALLER, pending=is_pending, settle=seconds_between)


def _record() -> Any:
    torch = sys.modules.get("torch")
    if torch is None:
        return UnreadableError("torch was not imported when the call began: import it before")
    try:
        cuda = torch.cuda
        if not cuda.is_initialized():
            return UnreadableError(
                "CUDA was not initialised when the call began: if torch finds a GPU here, call torch.cuda.init() before"
            )
        if cuda.is_current_stream_capturing():
            return UnreadableError("the current stream was being captured into a CUDA graph, which has no times")
        event = cuda.Event(enable_timing=True)
        event.record()
    except Exception as error:
        return UnreadableError(f"no CUDA event could be recorded: {type(error).__name__}: {error}")
    return event


def is_pending(moment: Any) -> bool:
    """Return whether the GPU has not come to a moment yet; never waits for it."""
    if moment is None or isinstance(moment, Exception):
        return False
    try:
        return not moment.query()
    except Exception:
        return False  # The time will not be had either, and that says why.


def seconds_between(entered: Any, left: Any) -> float:
    """Return the seconds of GPU time between two moments that the GPU has come to.

    Raises:
        UnavailableError: There can be no such moments here.
        UnreadableError: One of them was not taken, has not come yet, or CUDA gives no time between them.
    """
    for moment in (entered, left):
        if moment is None or isinstance(moment, Exception):
            raise _diagnosed(moment)
    try:
        if not left.query():
            raise UnreadableError("the GPU had not finished the work of the call when its result was stored")
        return float(entered.elapsed_time(left)) / 1000
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(f"CUDA gave no time: {type(error).__name__}: {error}") from None


def _diagnosed(error: Exception | None) -> Exception:
    """Return why a moment was not taken, and whether none ever will be; this may look into the file system."""
    torch = sys.modules.get("torch")
    if torch is None and not _installed("torch"):
        return UnavailableError("torch is not installed", "`pip install torch`")
    version = getattr(torch, "version", None)
    if version is not None and not getattr(version, "cuda", None) and not getattr(version, "hip", None):
        return UnavailableError(
            "the installed torch was built without CUDA", "install a build with CUDA, see https://pytorch.org"
        )
    return error or UnreadableError("no CUDA event was recorded")


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False

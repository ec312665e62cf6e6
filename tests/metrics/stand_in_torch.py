"""A stand-in for torch with the semantics of CUDA events: tests copy it to a folder of theirs as `torch.py`.

A stream is worked off at the GPU's own time, which passes only where a test says so.
"""

from __future__ import annotations

import types

version = types.SimpleNamespace(cuda="12.4", hip=None)


class _Gpu:
    """The GPU: how many milliseconds have passed on it, and how often somebody waited for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits = 0


class Stream:
    """Work in a queue."""

    def __init__(self) -> None:
        self.done_at = 0.0

    def work(self, milliseconds: float) -> None:
        """Queue work, which begins when what was queued before is done."""
        self.done_at = max(self.done_at, gpu.now) + milliseconds


class Event:
    """A moment in a stream."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self.timed = enable_timing
        self.at: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Put the event into a stream."""
        if not cuda.initialised:
            raise RuntimeError("CUDA would be initialised here, which takes seconds")
        self.at = max((stream or cuda.stream).done_at, gpu.now)

    def query(self) -> bool:
        """Return whether the GPU has come to it."""
        return self.at is None or self.at <= gpu.now

    def synchronize(self) -> None:
        """Wait for the GPU."""
        gpu.waits += 1
        gpu.now = max(gpu.now, self.at or 0)

    def elapsed_time(self, end: Event) -> float:
        """Return the milliseconds between two events that the GPU has come to."""
        if not (self.timed and end.timed):
            raise RuntimeError("an event was made without enable_timing")
        if self.at is None or end.at is None:
            raise RuntimeError("both events must be recorded")
        if not (self.query() and end.query()):
            raise RuntimeError("device not ready")
        return end.at - self.at


class _Cuda(types.ModuleType):
    Event = Event
    Stream = Stream

    def __init__(self) -> None:
        super().__init__("torch.cuda")
        self.initialised = False
        self.capturing = False
        self.stream = Stream()

    def init(self) -> None:
        """Initialise CUDA."""
        self.initialised = True

    def is_initialized(self) -> bool:
        """Return whether CUDA is initialised."""
        return self.initialised

    def is_available(self) -> bool:
        """Fail a test that asks: the real one begins to initialise the driver."""
        raise AssertionError("asked whether CUDA is available")

    def is_current_stream_capturing(self) -> bool:
        """Return whether a graph is being captured."""
        return self.capturing

    def synchronize(self) -> None:
        """Fail a test that waits for all of the GPU."""
        raise AssertionError("waited for the GPU")


gpu = _Gpu()
cuda = _Cuda()

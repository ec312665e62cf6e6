"""The reductions of all families of metrics, by name."""

from __future__ import annotations

from umlaut_async.metrics import energy, gpu, reductions, waiting

REDUCTIONS: dict[str, reductions.Reduction] = {
    **reductions.REDUCTIONS,
    **waiting.REDUCTIONS,
    **energy.REDUCTIONS,
    **gpu.REDUCTIONS,
}

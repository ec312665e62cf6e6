"""The reductions of all families of metrics, by name."""

from __future__ import annotations

from umlaut_async.metrics import command, energy, gpu, reductions, resources, waiting

REDUCTIONS: dict[str, reductions.Reduction] = {
    **reductions.REDUCTIONS,
    **resources.REDUCTIONS,
    **waiting.REDUCTIONS,
    **energy.REDUCTIONS,
    **gpu.REDUCTIONS,
    **command.REDUCTIONS,
}

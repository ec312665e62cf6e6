"""What the one number of a run is, by the type of what was measured, and whether more of it is better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from umlaut_async.text import MISSING, safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from umlaut_async.store.stage_queries import Used

__all__ = ["CALLS", "ERRORS", "TIMED_TTA", "Measure", "mean_of", "measure", "told"]

Combine: TypeAlias = Literal["sum", "max", "by time", "by entries", "mean"]
Better: TypeAlias = Literal["lower", "higher"]

CALLS = "calls"
ERRORS = "errors"
TIMED_TTA = "timed tta"


class Measure(NamedTuple):
    """How values of one type are compared."""

    combine: Combine
    """How the values of the calls of a stage make one number: "by time" weighs each by the duration of its call, and
    "by entries" divides all time by all entries."""
    better: Better | None = None
    """Which is better; None where it depends."""
    ratio: bool = True
    """Whether changes are ratios, as of times and sizes; of losses and accuracies they are differences."""


_MEASURES = {
    "time": Measure("sum", "lower"),
    "latency": Measure("by entries", "lower"),
    "throughput": Measure("by time", "higher"),
    "cpu": Measure("by time"),
    "memory": Measure("max", "lower"),
    "io": Measure("by time"),
    "power": Measure("by time"),
    "energy": Measure("sum", "lower"),
    "gpu": Measure("by time"),
    "gpumemory": Measure("max", "lower"),
    "gpupower": Measure("by time"),
    "gpuenergy": Measure("sum", "lower"),
    "gputime": Measure("sum", "lower"),
    "looplag": Measure("max", "lower"),
    "await": Measure("sum", "lower"),
    "wait": Measure("by time", "lower"),
    "loss": Measure("mean", "lower", ratio=False),
    "tta": Measure("mean", "higher", ratio=False),
    TIMED_TTA: Measure("mean", "lower"),
    CALLS: Measure("sum", ratio=False),
    ERRORS: Measure("sum", "lower", ratio=False),
}
# What people log under names that say which way is better; scores may be 0, so they have no ratios.
_HIGHER = frozenset({"accuracy", "acc", "precision", "recall", "f1", "auc", "bleu", "map", "r2", "score"})
_LOWER = frozenset({"error", "mae", "mse", "rmse", "perplexity"})
_OTHER = Measure("mean")


def measure(type_: str) -> Measure:
    """Return how values of this type are compared; of unknown types it is not known which is better."""
    known = _MEASURES.get(type_)
    if known is not None:
        return known
    word = type_.lower()
    if word in _HIGHER:
        return Measure("mean", "higher", ratio=False)
    if word in _LOWER:
        return Measure("mean", "lower", ratio=False)
    return _OTHER


def mean_of(used: Used) -> float | None:
    """Return what is shown as the mean of a metric of a stage: over the time of the calls where it is a rate."""
    return used.over_time if measure(used.type).combine == "by time" else used.mean


def told(metrics: Sequence[Used], show: Callable[[Used], str], between: str) -> str:
    """Return what is shown of the metrics of a stage that are of one type, each by its name where there are several.

    Args:
        metrics: The metrics.
        show: Returns what is shown of one.
        between: What stands between two.
    """
    shown = (f"{safe(used.told)}: {show(used)}" if used.told else show(used) for used in metrics)
    return between.join(shown) if metrics else MISSING

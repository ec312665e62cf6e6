"""Tracked values as one line each: what of a loss, a matrix or a sweep a person wants to see first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from umlaut_async.store import values
from umlaut_async.text import duration, number, quantity, safe

if TYPE_CHECKING:
    from umlaut_async.store.queries import Tracked


def tracked_text(tracked: Tracked) -> str:
    """Return the value of a tracker or of a `log` in one line."""
    match tracked.type, tracked.value, tracked.data:
        case "loss", None, [*losses] if _are_numbers(losses):
            return f"{_course(losses)}, least {number(min(losses))}"
        case "tta", None, [*accuracies] if _are_numbers(accuracies):
            return f"{_course(accuracies)}, best {number(max(accuracies))}"
        case "timed tta", None, {"target": float() | int() as target, "best": best}:
            reached = f", best was {number(best)}" if _are_numbers([best]) else ""
            return f"{number(target)} was not reached{reached}"
        case "timed tta", float() | int() as seconds, _:
            return duration(seconds)
        case "confusion-matrix", None, {"matrix": [[_, *_], *_] as matrix} if _is_square(matrix):
            return _matrix(matrix)
        case "hyperparameters", None, {"target": str() as target, "measurements": [*measurements]} as sweep:
            return _sweep(target, measurements, low_means_good=bool(sweep.get("low_means_good", True)))
    if tracked.value is not None:
        return quantity(tracked.value, tracked.unit)
    return safe(json.dumps(values.plain(tracked.data), ensure_ascii=False))


def _are_numbers(found: list[Any]) -> bool:
    return bool(found) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in found)


def _course(found: list[float]) -> str:
    if len(found) == 1:
        return number(found[0])
    return f"{number(found[0])} → {number(found[-1])} in {len(found)} values"


def _is_square(matrix: list[Any]) -> bool:
    return all(isinstance(row, list) and len(row) == len(matrix) and _are_numbers(row) for row in matrix)


def _matrix(matrix: list[list[float]]) -> str:
    size, total = len(matrix), sum(map(sum, matrix))
    if not total:
        return f"{size} × {size}, empty"  # noqa: RUF001
    right = sum(row[index] for index, row in enumerate(matrix))
    return f"{size} × {size}, {number(100 * right / total)} % on the diagonal"  # noqa: RUF001


def _sweep(target: str, measurements: list[Any], low_means_good: bool) -> str:
    found = [
        measured for measured in measurements if isinstance(measured, dict) and _are_numbers([measured.get(target)])
    ]
    count = f"{len(measurements)} measurement{'' if len(measurements) == 1 else 's'}"
    if not found:
        return count
    best = (min if low_means_good else max)(found, key=lambda measured: float(measured[target]))
    chosen = ", ".join(f"{name}={_short(value)}" for name, value in best.items() if name != target)
    return safe(f"{count}, best {target} {number(best[target])} with {chosen or 'nothing else'}")


def _short(value: Any) -> str:
    return number(value) if _are_numbers([value]) else str(value)

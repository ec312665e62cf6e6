"""What is drawn, before any library draws it."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from umlaut_async.cli.text import safe
from umlaut_async.compat.plotting.catalog import axis, kind_of
from umlaut_async.compat.plotting.contents import Content, Matrix, Number, Numbers, Samples, Search, Text, content_of
from umlaut_async.compat.plotting.labels import labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from umlaut_async.legacy.reading import Measured

__all__ = [
    "Bar",
    "Bars",
    "Curve",
    "Curves",
    "Grid",
    "Note",
    "Notes",
    "Parallel",
    "Read",
    "Shape",
    "contents",
    "shapes",
    "starts_at_zero",
]


class Curve(NamedTuple):
    """The numbers of one call."""

    label: str
    xs: list[float]
    ys: list[float]
    dots: list[float] | None = None
    """What the curve was made from, drawn as dots, where that is something else."""


class Curves(NamedTuple):
    """Curves on common axes."""

    measure_type: str
    title: str
    x_label: str
    y_label: str
    curves: list[Curve]
    counted: bool
    """Whether they run over whole numbers, such as epochs."""


class Bar(NamedTuple):
    """The number of one call; where there is none, the note says why."""

    label: str
    value: float | None
    note: str


class Bars(NamedTuple):
    """Bars on a common axis."""

    measure_type: str
    title: str
    value_label: str
    bars: list[Bar]


class Grid(NamedTuple):
    """A matrix, the first row at the top."""

    measure_type: str
    title: str
    rows: list[list[float]]
    row_label: str
    row_names: list[str]
    column_label: str
    column_names: list[str]


class Parallel(NamedTuple):
    """The runs of a search as lines across parallel axes, the target last."""

    measure_type: str
    title: str
    columns: dict[str, list[Any]]
    target: str
    low_means_good: bool


class Note(NamedTuple):
    """A text of one call."""

    label: str
    text: str


class Notes(NamedTuple):
    """Texts, one below the other."""

    measure_type: str
    title: str
    notes: list[Note]


Shape: TypeAlias = Curves | Bars | Grid | Parallel | Notes
Read: TypeAlias = "tuple[Measured, Content]"
_Of = TypeVar("_Of", Samples, Numbers, Number, Text)


def contents(measurements: Iterable[Measured]) -> list[Read]:
    """Return the measurements with what their data are, by type and time."""
    ordered = sorted(
        measurements,
        key=lambda measured: (measured.measurement_type, str(measured.measurement_datetime or ""), measured.id),
    )
    return [(measured, content_of(measured.measurement_type, measured.measurement_data)) for measured in ordered]


def shapes(read: Sequence[Read]) -> list[Shape]:
    """Return what is drawn of measurements: one figure for each type, unit and form of data.

    A matrix and a search have a figure each.
    """
    groups: dict[tuple[object, ...], list[Read]] = {}
    for measured, content in read:
        own = measured.id if isinstance(content, (Matrix, Search)) else None
        unit = "" if isinstance(content, Text) else _unit(measured)
        groups.setdefault((measured.measurement_type, type(content), unit, own), []).append((measured, content))
    return [_shape(group) for group in groups.values()]


def starts_at_zero(shape: Curves) -> bool:
    """Tell whether zero belongs on the axis of the values: where they vary much, or are all zero."""
    values = [value for curve in shape.curves for value in curve.ys if math.isfinite(value)]
    return bool(values) and 0 <= min(values) <= max(values) / 2


def _unit(measured: Measured) -> str:
    known = kind_of(measured.measurement_type).unit
    return measured.measurement_unit or "" if known is None else known


def _shape(group: list[Read]) -> Shape:
    measurements = [measured for measured, _ in group]
    first, content = group[0]
    names = labels(measurements)
    measure_type = first.measurement_type
    title = _title(measurements)
    if isinstance(content, Matrix):
        return _grid(measure_type, _own_title(first), content)
    if isinstance(content, Search):
        columns = {safe(name): values for name, values in content.columns.items()}
        return Parallel(measure_type, _own_title(first), columns, safe(content.target), content.low_means_good)
    kind = kind_of(measure_type)
    label = axis(safe(kind.quantity), safe(_unit(first)))
    if isinstance(content, Samples):
        return _time_curves(measure_type, title, label, [*zip(names, _contents(group, Samples), strict=True)])
    if isinstance(content, Numbers):
        return _step_curves(measure_type, title, label, [*zip(names, _contents(group, Numbers), strict=True)])
    if isinstance(content, Number):
        numbers = zip(names, _contents(group, Number), strict=True)
        return Bars(measure_type, title, label, [Bar(name, each.value, safe(each.note)) for name, each in numbers])
    texts = zip(names, _contents(group, Text), strict=True)
    return Notes(measure_type, title, [Note(name, safe(each.text, 2000)) for name, each in texts])


def _contents(group: list[Read], kind: type[_Of]) -> list[_Of]:
    return [content for _, content in group if isinstance(content, kind)]


def _title(measurements: Sequence[Measured]) -> str:
    title = safe(kind_of(measurements[0].measurement_type).title)
    descriptions = {measured.measurement_description for measured in measurements}
    description = safe(descriptions.pop(), 80) if len(descriptions) == 1 else ""
    return f"{title}: {description}" if description else title


def _own_title(measured: Measured) -> str:
    (label,) = labels([measured])
    if not measured.measured_method_name:
        # The label would only say the description again.
        _, _, label = label.rpartition(" from ")
    return f"{_title([measured])}, {label}"


def _time_curves(measure_type: str, title: str, label: str, found: list[tuple[str, Samples]]) -> Curves:
    timed = all(samples.elapsed is not None for _, samples in found)
    longest = max((samples.elapsed[-1] for _, samples in found if samples.elapsed), default=0.0)
    size, unit = (3600, "h") if longest >= 7200 else (60, "min") if longest >= 300 else (1, "s")
    return Curves(
        measure_type,
        title,
        f"Time since the first sample in {unit}" if timed else "Sample",
        label,
        [
            Curve(name, [seconds / size for seconds in samples.elapsed], samples.values)
            if timed and samples.elapsed is not None
            else Curve(name, _count(samples.values), samples.values)
            for name, samples in found
        ],
        counted=not timed,
    )


def _step_curves(measure_type: str, title: str, label: str, found: list[tuple[str, Numbers]]) -> Curves:
    curves = [
        Curve(name, _count(numbers.values), _best_so_far(numbers.values), numbers.values)
        if measure_type == "tta"
        else Curve(name, _count(numbers.values), numbers.values)
        for name, numbers in found
    ]
    step = kind_of(measure_type).step.capitalize()
    step = f"{step} (the line is the best so far)" if measure_type == "tta" else step
    return Curves(measure_type, title, step, label, curves, counted=True)


def _count(values: list[float]) -> list[float]:
    return [float(number) for number in range(1, len(values) + 1)]


def _best_so_far(values: list[float]) -> list[float]:
    # NaN is the best only where nothing else was yet.
    return [*accumulate(values, _better)]


def _better(best: float, value: float) -> float:
    return best if value <= best or math.isnan(value) else value


def _grid(measure_type: str, title: str, matrix: Matrix) -> Grid:
    if matrix.labels is None:
        rows = [str(number) for number in range(1, len(matrix.rows) + 1)]
        columns = [str(number) for number in range(1, len(matrix.rows[0]) + 1)]
        return Grid(measure_type, title, matrix.rows, "row", rows, "column", columns)
    names = [safe(name, 40) for name in matrix.labels]
    return Grid(measure_type, title, matrix.rows, "predicted", names, "actual", names)

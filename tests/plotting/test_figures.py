"""The figures of both libraries: title, unit on the axis, a name for each call; and what is written for people."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import pytest

from tests.plotting.conftest import NAMES
from tests.plotting.databases import MATRIX, NUMBERS, SAMPLED, SIXTEEN, TRACKED
from umlaut_async.compat.plotting import matplotlib_figures, plotly_figures
from umlaut_async.compat.plotting.shapes import Bar, Bars, Curve, Curves, Grid, Note, Notes, Parallel, Shape, shapes

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from umlaut_async.compat.plotting.shapes import Read

    ReadAll = Callable[[str, str], list[Read]]

TITLES = {
    "cpu": "CPU usage", "memory": "Memory usage", "power": "Power", "gpu": "GPU usage",
    "gpumemory": "GPU memory usage", "gpupower": "GPU power", "time": "Time", "latency": "Latency",
    "throughput": "Throughput", "energy": "Energy", "gputime": "GPU time", "timed tta": "Time to target accuracy",
    "loss": "Loss over epochs", "tta": "Time to accuracy", "hyperparameters": "Hyperparameters",
    "confusion-matrix": "Confusion matrix",
}  # fmt: skip
AXES = {
    "time": "Time taken in sec", "gputime": "GPU time taken in sec", "energy": "Energy used in µJ",
    "timed tta": "Time taken in sec", "loss": "Loss", "tta": "Accuracy",
}  # fmt: skip
HOSTILE = "$\\frac{$ <b>x</b> </script><script>alert(1)</script> &amp; \u4f60"


def rendered(figure: Figure) -> bytes:
    """Return a figure as a PNG."""
    written = io.BytesIO()
    with matplotlib_figures.without_warnings():
        figure.savefig(written, dpi=30)
    return written.getvalue()


def axis_of(measure_type: str) -> str:
    """Return what stands on the axis of the values."""
    return AXES.get(measure_type) or f"{TITLES[measure_type]} in {SIXTEEN[measure_type]}"


def test_there_are_sixteen() -> None:
    assert len(SIXTEEN) == len({**SAMPLED, **NUMBERS, **TRACKED}) == 16
    assert TITLES.keys() == SIXTEEN.keys()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("measure_type", [*SAMPLED, "loss", "tta"])
def test_curves(name: str, measure_type: str, read: ReadAll) -> None:
    found = read(name, measure_type)
    (shape,) = shapes(found)
    assert isinstance(shape, Curves)
    labels = [curve.label for curve in shape.curves]
    assert len(set(labels)) == len(found) >= (1 if name == "first" or measure_type == "tta" else 2)

    drawn = matplotlib_figures.figure(shape)
    axes = drawn.axes[0]
    assert axes.get_title().startswith(TITLES[measure_type])
    assert axes.get_ylabel() == axis_of(measure_type)
    assert axes.get_xlabel().startswith("Epoch" if measure_type in TRACKED else "Time since the first sample in s")
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == labels
    lines = [line for line in axes.get_lines() if line.get_linestyle() != "None"]
    assert [list(line.get_ydata()) for line in lines] == [curve.ys for curve in shape.curves]  # type: ignore[arg-type]

    figure = plotly_figures.figure(shape)
    assert figure.layout.title.text.startswith(TITLES[measure_type])
    assert figure.layout.yaxis.title.text == axis_of(measure_type)
    assert figure.layout.showlegend
    in_legend = [trace for trace in figure.data if trace.showlegend is not False]
    assert [trace.name for trace in in_legend] == labels
    assert [list(trace.y) for trace in in_legend] == [curve.ys for curve in shape.curves]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("measure_type", NUMBERS)
def test_bars(name: str, measure_type: str, read: ReadAll) -> None:
    found = read(name, measure_type)
    *_, shape = shapes(found)
    assert isinstance(shape, Bars)
    labels = [bar.label for bar in shape.bars]
    assert len(set(labels)) == len(labels)
    values = [bar.value or 0.0 for bar in shape.bars]

    axes = matplotlib_figures.figure(shape).axes[0]
    assert axes.get_title().startswith(TITLES[measure_type])
    assert axes.get_xlabel() == axis_of(measure_type)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == labels
    assert [patch.get_width() for patch in axes.patches] == values  # type: ignore[attr-defined]

    figure = plotly_figures.figure(shape)
    assert figure.layout.title.text.startswith(TITLES[measure_type])
    assert figure.layout.xaxis.title.text == axis_of(measure_type)
    assert list(figure.layout.yaxis.ticktext) == labels
    assert list(figure.data[0].x) == values


@pytest.mark.parametrize("name", NAMES)
def test_a_confusion_matrix_has_predicted_on_axis_0_and_actual_on_axis_1(name: str, read: ReadAll) -> None:
    shape, *_ = shapes(read(name, "confusion-matrix"))
    axes = matplotlib_figures.figure(shape).axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("predicted", "actual")
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cat", "dog", "owl"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cat", "dog", "owl"]
    assert axes.get_title().startswith("Confusion matrix")
    (image,) = axes.get_images()
    assert image.get_array().tolist() == MATRIX  # type: ignore[union-attr]
    assert axes.yaxis_inverted(), "the first row is at the top"
    # The number of those taken for dogs that were owls stands in the second row and the third column.
    assert {(text.get_position(), text.get_text()) for text in axes.texts} >= {((2, 1), "1"), ((1, 2), "3")}

    figure = plotly_figures.figure(shape)
    assert (figure.layout.yaxis.title.text, figure.layout.xaxis.title.text) == ("predicted", "actual")
    assert [list(row) for row in figure.data[0].z] == MATRIX
    assert figure.layout.yaxis.autorange == "reversed"
    assert list(figure.layout.yaxis.ticktext) == list(figure.layout.xaxis.ticktext) == ["cat", "dog", "owl"]


@pytest.mark.parametrize("name", NAMES)
def test_a_search(name: str, read: ReadAll) -> None:
    shape, *_ = shapes(read(name, "hyperparameters"))
    drawn = matplotlib_figures.figure(shape)
    axes, bar = drawn.axes
    assert axes.get_title().startswith("Hyperparameters")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["depth", "solver", "error"]
    assert bar.get_ylabel() == "error (lower is better)"
    assert {"adam", "sgd", "0.2", "0.9", "3"} <= {text.get_text() for text in axes.texts}
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]  # type: ignore[arg-type]
    assert [[*map(float, line.get_ydata())] for line in lines][1] == [0.5, 1.0, 0.0]  # type: ignore[arg-type]

    (trace,) = plotly_figures.figure(shape).data
    assert trace.type == "parcoords"
    assert [dimension.label for dimension in trace.dimensions] == ["depth", "solver", "error"]
    assert list(trace.dimensions[1].ticktext) == ["adam", "sgd"]
    assert list(trace.line.color) == [0.5, 0.2, 0.9]
    assert trace.line.reversescale is False


def test_good_runs_are_dark_whatever_is_good() -> None:
    columns = {"a": [1, 2], "score": [1, 2]}
    high = plotly_figures.figure(Parallel("hyperparameters", "", columns, "score", low_means_good=False))
    assert high.data[0].line.reversescale is True
    for low_means_good in (True, False):
        shape = Parallel("hyperparameters", "", columns, "score", low_means_good=low_means_good)
        lines = [line for line in matplotlib_figures.figure(shape).axes[0].get_lines() if len(line.get_xdata()) == 2]  # type: ignore[arg-type]
        low, high = (sum(line.get_color()[:3]) for line in lines[:2])  # type: ignore[arg-type]
        assert bool(low < high) is low_means_good


ODD: list[Shape] = [
    Curves("mine", HOSTILE, HOSTILE, HOSTILE, [Curve(HOSTILE, [1.0], [1.0]), Curve("_x", [], [])], counted=True),
    Curves("mine", "t", "x", "y", [Curve("a", [1.0, 2.0], [math.inf, math.nan])], counted=False),
    Bars("mine", HOSTILE, HOSTILE, [Bar(HOSTILE, -5.0, ""), Bar("none", None, HOSTILE), Bar("inf", math.inf, "")]),
    Grid("mine", HOSTILE, [[math.nan]], "predicted", [HOSTILE], "actual", [HOSTILE]),
    Grid("mine", "t", [[1.0] * 70] * 70, "row", ["same"] * 70, "column", ["same"] * 70),
    Parallel("mine", HOSTILE, {HOSTILE: [HOSTILE, "b"], "y": [1, 1]}, "y", low_means_good=True),
    Parallel("mine", "t", {"x": [1], "y": ["name"]}, "y", low_means_good=True),
    Parallel("mine", "t", {"x": [None], "y": [1]}, "y", low_means_good=True),
    Parallel("mine", "t", {"y": []}, "y", low_means_good=True),
    Notes("mine", HOSTILE, [Note(HOSTILE, HOSTILE)]),
]


@pytest.mark.parametrize("shape", ODD, ids=lambda shape: type(shape).__name__)
def test_odd_values_and_texts_are_drawn(shape: Shape) -> None:
    assert rendered(matplotlib_figures.figure(shape)).startswith(b"\x89PNG")
    page = plotly_figures.figure(shape).to_html(include_plotlyjs=False)
    assert "<script>alert" not in page


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("measure_type", SIXTEEN)
def test_no_title_is_cut(name: str, measure_type: str, read: ReadAll) -> None:
    for shape in shapes(read(name, measure_type)):
        drawn = matplotlib_figures.figure(shape)
        drawn.draw_without_rendering()
        place = drawn.axes[0].title.get_window_extent()
        assert place.x0 >= 0
        assert place.x1 <= drawn.bbox.width


def test_one_sample_stands_at_the_start_of_time() -> None:
    curves = Curves("cpu", "t", "x", "y", [Curve("a", [0.0], [1.0])], counted=False)
    assert matplotlib_figures.figure(curves).axes[0].get_xlim() == (-0.05, 1)


def test_texts_are_no_markup() -> None:
    shape = ODD[0]
    axes = matplotlib_figures.figure(shape).axes[0]
    assert not any(text.get_parse_math() for text in axes.get_legend().get_texts())  # type: ignore[union-attr]
    assert "&lt;b&gt;" in plotly_figures.figure(shape).data[0].name


def test_many_calls() -> None:
    curves = Curves("cpu", "t", "x", "y", [Curve(f"c{n}", [1.0, 2.0], [1.0, 2.0]) for n in range(100)], counted=False)
    drawn = matplotlib_figures.figure(curves)
    legend: Any = drawn.axes[0].get_legend()
    assert len(legend.get_texts()) == 25
    assert legend.get_texts()[-1].get_text() == "… and 76 more"
    assert len(plotly_figures.figure(curves).data) == 100
    bars = Bars("time", "t", "y", [Bar(f"c{n}", float(n), "") for n in range(1000)])
    drawn = matplotlib_figures.figure(bars)
    assert drawn.get_figheight() <= 60
    assert len(drawn.axes[0].get_yticklabels()) <= 150
    assert len(drawn.axes[0].patches) == len(plotly_figures.figure(bars).data[0].x) == 1000


@pytest.mark.parametrize("measure_type", ["mine", "series", "table", "note", "settings", "io"])
def test_other_types_are_drawn_by_their_shape(measure_type: str, read: ReadAll) -> None:
    (shape,) = shapes(read("ours", measure_type))
    assert matplotlib_figures.figure(shape).axes
    assert plotly_figures.figure(shape).data
    kind = {"mine": Bars, "series": Curves, "table": Grid, "note": Notes, "settings": Notes, "io": Curves}[measure_type]
    assert isinstance(shape, kind)

"""Figures by plotly; texts are never taken for its markup."""

from __future__ import annotations

import html
import math
import textwrap
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from umlaut_async.cli.text import number
from umlaut_async.compat.plotting.parallel_axes import Axis, axes_of
from umlaut_async.compat.plotting.shapes import Bars, Curves, Grid, Notes, Parallel
from umlaut_async.compat.plotting.thinning import finite, thin

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from umlaut_async.compat.plotting.shapes import Shape

__all__ = ["figure"]

_WRITTEN_CELLS = 30
_NAMED_BARS = 150
_TITLE_LINE = 100


def figure(shape: Shape) -> Figure:
    """Return a shape as a figure."""
    drawn = _draw(shape)
    lines = textwrap.wrap(shape.title, _TITLE_LINE)
    drawn.update_layout(title_text="<br>".join(map(_plain, lines)), template="plotly_white")
    return drawn


@singledispatch
def _draw(shape: Any) -> Figure:
    # What single dispatch comes to for a shape that no function below is registered for, which is a defect.
    raise NotImplementedError(type(shape).__name__)


@_draw.register(Curves)
def _curves(shape: Curves) -> Figure:
    from plotly.colors import qualitative
    from plotly.graph_objects import Figure, Scatter

    colours = qualitative.Plotly
    drawn = Figure()
    for index, curve in enumerate(shape.curves):
        colour = colours[index % len(colours)]
        xs, ys = thin(curve.xs, finite(curve.ys))
        mode = "lines" if curve.dots or len(xs) > 200 else "lines+markers"
        group = {"name": _plain(curve.label), "legendgroup": str(index)}
        drawn.add_trace(Scatter(x=xs, y=_gaps(ys), mode=mode, line_color=colour, **group))
        if curve.dots:
            given_xs, given = thin(curve.xs, finite(curve.dots))
            dots = {"color": colour, "opacity": 0.5}
            drawn.add_trace(Scatter(x=given_xs, y=_gaps(given), mode="markers", marker=dots, showlegend=False, **group))
    drawn.update_layout(xaxis_title_text=_plain(shape.x_label), yaxis_title_text=_plain(shape.y_label), showlegend=True)
    return drawn


@_draw.register(Bars)
def _bars(shape: Bars) -> Figure:
    from plotly.graph_objects import Bar, Figure

    values = finite([math.nan if bar.value is None else bar.value for bar in shape.bars])
    positions = [*range(len(shape.bars))]
    written = [bar.note or number(bar.value) for bar in shape.bars]
    drawn = Figure(
        Bar(
            x=[0.0 if math.isnan(value) else value for value in values],
            y=positions,
            orientation="h",
            text=[*map(_plain, written)],
            textposition="auto",
            hovertext=[_plain(f"{bar.label}: {text}") for bar, text in zip(shape.bars, written, strict=True)],
            hoverinfo="text",
        )
    )
    every = math.ceil(len(shape.bars) / _NAMED_BARS)
    drawn.update_layout(
        xaxis_title_text=_plain(shape.value_label),
        yaxis={
            # Places rather than names: of two calls with one name both are to be seen.
            "tickvals": positions[::every],
            "ticktext": [_plain(bar.label) for bar in shape.bars[::every]],
            "autorange": "reversed",
            "automargin": True,
        },
        height=min(6000, max(300, 160 + 32 * len(shape.bars))),
    )
    return drawn


@_draw.register(Grid)
def _grid(shape: Grid) -> Figure:
    from plotly.graph_objects import Figure, Heatmap

    few = max(len(shape.rows), len(shape.rows[0])) <= _WRITTEN_CELLS
    cells = [finite(row) for row in shape.rows]
    drawn = Figure(
        Heatmap(
            z=[_gaps(row) for row in cells],
            text=[[number(value) for value in row] for row in cells],
            texttemplate="%{text}" if few else None,
            customdata=[[[_plain(row), _plain(column)] for column in shape.column_names] for row in shape.row_names],
            hovertemplate=f"{shape.row_label} %{{customdata[0]}}, {shape.column_label} %{{customdata[1]}}: %{{z}}"
            "<extra></extra>",
            colorscale="Blues",
        )
    )
    drawn.update_layout(
        xaxis=_names(shape.column_label, shape.column_names),
        yaxis=_names(shape.row_label, shape.row_names) | {"autorange": "reversed"},
    )
    return drawn


def _names(label: str, names: list[str]) -> dict[str, Any]:
    # Places rather than names: classes may have the same name, or numbers for names.
    every = math.ceil(len(names) / 60)
    return {
        "title": {"text": label},
        "tickvals": [*range(0, len(names), every)],
        "ticktext": [*map(_plain, names[::every])],
        "automargin": True,
    }


@_draw.register(Parallel)
def _parallel(shape: Parallel) -> Figure:
    from plotly.graph_objects import Figure, Parcoords

    found, left_out = axes_of(shape)
    *_, target = found
    good = "lower" if shape.low_means_good else "higher"
    drawn = Figure(
        Parcoords(
            dimensions=[_dimension(axis) for axis in found],
            line={
                "color": target.positions,
                # Good runs are dark, whatever good means.
                "colorscale": "Viridis",
                "reversescale": not shape.low_means_good,
                "showscale": True,
                "colorbar": {"title": {"text": _plain(f"{shape.target} ({good} is better)"), "side": "right"}},
            },
        )
    )
    # The names of the axes stand above them, where the title would be.
    drawn.update_layout(margin={"t": 120, "l": 80})
    if left_out:
        drawn.add_annotation(
            text=f"{left_out} without a finite value for each axis left out",
            xref="paper", yref="paper", x=0, y=-0.12, showarrow=False,
        )  # fmt: skip
    return drawn


def _dimension(axis: Axis) -> dict[str, Any]:
    plain: dict[str, Any] = {"label": _plain(axis.name), "values": axis.positions}
    if axis.names is not None:
        plain |= {"tickvals": [*range(len(axis.names))], "ticktext": [*map(_plain, axis.names)]}
    return plain


@_draw.register(Notes)
def _notes(shape: Notes) -> Figure:
    from plotly.graph_objects import Figure, Table

    cells = [[_plain(note.label) for note in shape.notes], [_plain(note.text) for note in shape.notes]]
    return Figure(Table(header={"values": ["", ""]}, cells={"values": cells, "align": "left"}, columnwidth=[1, 3]))


def _gaps(values: list[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def _plain(text: str) -> str:
    return html.escape(text, quote=False)

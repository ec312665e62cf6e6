"""What notebooks show: whole, without JavaScript, and inert whatever a text holds."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from array import array
from typing import TYPE_CHECKING

import pytest

from tests.analysis.test_results import block, sample, series
from tests.cli.rows import BEGAN, SECOND, event, process, result, run, span
from umlaut_async.analysis import Results, Table
from umlaut_async.analysis.card import sparkline
from umlaut_async.store.chunks import BLOCK, Bucket

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store

HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "'><svg onload=alert(1)>", '" onmouseover="alert(1)',
    "</td></table>", "&lt;", "\x1b]0;title\x07", "\x00\x1b[31mred", "{{7*7}}", "]]>", "<!--", "javascript:alert(1)",
]  # fmt: skip
ELEMENTS = {
    "div", "p", "b", "br", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "svg", "polygon",
    "polyline",
}  # fmt: skip
ATTRIBUTES = {
    "style", "role", "aria-label", "width", "height", "viewBox", "preserveAspectRatio", "points", "fill", "stroke",
    "fill-opacity", "stroke-opacity",
}  # fmt: skip


def parsed(html: str) -> ET.Element:
    """Return the tree of a card, of which every element and attribute must be one of ours."""
    root = ET.fromstring(html.replace("<br>", "<br/>"))
    for element in root.iter():
        assert element.tag in ELEMENTS
        assert set(element.attrib) <= ATTRIBUTES
    return root


def texts(root: ET.Element) -> str:
    return " ".join(root.itertext())


def test_a_run(store: Store, database: Path) -> None:
    call = span("train")
    store(
        run(description="about it", tags=["night"]), process(), series(), call,
        result("memory", "MiB", 20.0, span=call.id), result("cpu", "%", 50.0, span=call.id),
        result("looplag", "sec", 0.25, span=call.id),
        block(array("q", (BEGAN + t * SECOND for t in range(BLOCK))), array("d", [10.0] * (BLOCK - 1) + [30.0])),
        sample(1, BEGAN + BLOCK * SECOND, 12.0),
    )  # fmt: skip
    card = parsed(Results(database).run()._repr_html_())
    shown = texts(card)
    for part in ("train.py", "aaaaaaaa", "ok", "1 min 30 s", "about it", "night", "train", "50 %", "20 MiB", "250 ms"):
        assert part in shown
    (svg,) = card.iter("svg")
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "memory: mean 10 MiB, lowest 10 MiB, highest 30 MiB, 4,097 samples"


def test_a_run_with_nothing(store: Store, database: Path) -> None:
    store(run(ended=None, status="running", description="", tags=[]), process(), series())
    assert "memory: no samples" in texts(parsed(Results(database).run()._repr_html_()))


def test_all_runs(store: Store, database: Path) -> None:
    store(*(run(f"{number:08}", started=BEGAN + number) for number in range(25)))
    shown = texts(parsed(Results(database)._repr_html_()))
    assert "00000024" in shown
    assert "00000004" not in shown
    assert "and 5 more" in shown


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_only_text(store: Store, database: Path, text: str) -> None:
    call = span(text, kind=text, task=text, status=text, error=text)
    described = {"description": text, "method": text, "span": call.id}
    store(
        run(name=text, description=text, tags=[text], status=text), process(), series(type_=text), call,
        result(text, text, 1.0, **described), result(text, text, None, {text: text}, **described),
        event(text, text, data={text: text}), sample(1, BEGAN, 1.0),
    )  # fmt: skip
    results = Results(database)
    found = results.run()
    for shown in (results, found, found.stages, found.calls, found.results, found.events, found.samples(text)):
        root = parsed(shown._repr_html_())
        assert "\x1b" not in texts(root)
    plain = text.replace("\x00\x1b[31m", "").replace("\x1b]0;title\x07", "")
    assert plain in texts(parsed(found._repr_html_()))


def test_a_peak_of_one_sample_is_drawn_at_its_height() -> None:
    buckets = [Bucket(t, 100, 1.0, 1.0 if t != 50 else 1.09, 1.0 if t != 50 else 10.0) for t in range(100)]
    (svg,) = ET.fromstring(f"<a>{sparkline(('memory', 'MiB', buckets))}</a>").iter("svg")
    band, line = (list(svg)[index].attrib["points"].split() for index in (0, 1))
    heights = [float(place.split(",")[1]) for place in band]
    assert heights[50] == 0.0
    assert all(height == 36.0 for index, height in enumerate(heights) if index != 50)
    assert len(line) == 100


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [-1.7e308, 1.7e308], [0.0, 5e-324]])
def test_odd_courses(values: list[float]) -> None:
    drawn = sparkline(("x", "", [Bucket(t, 1, value, value, value) for t, value in enumerate(values)]))
    assert "nan" not in drawn
    assert "inf" not in drawn.replace("mean inf", "")


def test_long_tables_are_cut() -> None:
    table = Table.of_rows("n", {"n": "integer", "data": "data"}, [(n, "x" * 10_000) for n in range(1000)])
    shown = table._repr_html_()
    assert "and 980 more" in shown
    assert len(shown) < 20_000

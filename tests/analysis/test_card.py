"""What notebooks show: whole, without JavaScript, and inert whatever a text holds."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from tests import hostile
from tests.analysis.test_results import block, sample, series
from tests.cli.rows import BEGAN, SECOND, process, result, run, span
from umlaut_async.analysis import Results, Table, card
from umlaut_async.analysis.card import Curve, sparkline
from umlaut_async.store.chunks import BLOCK, Bucket
from umlaut_async.store.models import Sample, Series, key
from umlaut_async.text import safe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store
    from umlaut_async.store.models import Base

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
    # XML, unlike HTML, has no place for these two.
    root = ET.fromstring(html.replace("<br>", "<br/>").replace("\uffff\ufffe", "?"))
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


def places(svg: ET.Element) -> list[float]:
    """Return where on its axis the line of a series has points."""
    return [float(place.split(",")[0]) for place in list(svg)[1].attrib["points"].split()]


def test_all_curves_share_the_axis_of_the_run(store: Store, database: Path) -> None:
    def samples(number: int, seconds: list[int]) -> list[Base]:
        return [
            Sample(id=key(1, 100 * number + at), series_id=number, t=BEGAN + at * SECOND, value=1.0) for at in seconds
        ]

    known = [
        Series(id=at, process_id=1, type=type_, unit="%", source="a", provenance="measured", interval=interval * SECOND)
        for at, type_, interval in ((1, "cpu", 1), (2, "cpu", 2), (3, "memory", 1))
    ]
    store(
        run(ended=BEGAN + 12 * SECOND), process(), *known,
        *samples(1, [2, 3]), *samples(2, [8, 10]), *samples(3, [6, 12]),
    )  # fmt: skip
    card = parsed(Results(database).run()._repr_html_())
    # A rate counts from the sample before it.
    assert [places(svg) for svg in card.iter("svg")] == [
        pytest.approx([20, 40], abs=2), pytest.approx([120, 160], abs=2), pytest.approx([120, 240], abs=2),
    ]  # fmt: skip
    captions = [(caption.text or "").partition(":")[0] for caption in card.iter("figcaption")]
    assert captions == ["cpu, every 1 s", "cpu, every 2 s", "memory"]
    assert "Each curve goes over the whole run, 12 s." in texts(card)


def test_a_run_with_nothing(store: Store, database: Path) -> None:
    store(run(ended=None, status="running", description="", tags=[]), process(), series())
    assert "memory: no samples" in texts(parsed(Results(database).run()._repr_html_()))


def test_all_runs(store: Store, database: Path) -> None:
    store(*(run(f"{number:08}", started=BEGAN + number) for number in range(25)))
    shown = texts(parsed(Results(database)._repr_html_()))
    assert "00000024" in shown
    assert "00000004" not in shown
    assert "and 5 more" in shown


UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize("batch", hostile.BATCHES, ids=range(len(hostile.BATCHES)))
def test_hostile_texts_are_only_texts(store: Store, database: Path, batch: list[str]) -> None:
    store(*hostile.in_every_text(batch))
    results = Results(database)
    found = results.run()
    cards: list[Any] = [results, found, found.stages, found.calls, found.results, found.events, found.samples(batch[0])]
    pages = [each._repr_html_() for each in cards]
    shown: set[str] = set()
    for page in pages:
        page.encode()
        assert len(page) < 300_000
        shown.update(parsed(page).itertext())
    assert not any(map(UNPRINTABLE.search, shown))
    for text in batch[: card.SHOWN_ROWS]:
        assert not safe(text).strip() or any(safe(text).replace("\uffff\ufffe", "?") in other for other in shown), text


def test_a_peak_of_one_sample_is_drawn_at_its_height() -> None:
    buckets = [Bucket(t, 100, 1.0, 1.0 if t != 50 else 1.09, 1.0 if t != 50 else 10.0) for t in range(100)]
    (svg,) = ET.fromstring(f"<a>{sparkline(Curve('memory', 'MiB', buckets), 0, 99)}</a>").iter("svg")
    band, line = (list(svg)[index].attrib["points"].split() for index in (0, 1))
    heights = [float(place.split(",")[1]) for place in band]
    assert heights[50] == 0.0
    assert all(height == 36.0 for index, height in enumerate(heights) if index != 50)
    assert len(line) == 100


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [-1.7e308, 1.7e308], [0.0, 5e-324]])
def test_odd_courses(values: list[float]) -> None:
    drawn = sparkline(Curve("x", "", [Bucket(t, 1, value, value, value) for t, value in enumerate(values)]), 0, 1)
    assert "nan" not in drawn
    assert "inf" not in drawn.replace("mean inf", "")


def test_long_tables_are_cut() -> None:
    table = Table.of_rows("n", {"n": "integer", "data": "data"}, [(n, "x" * 10_000) for n in range(1000)])
    shown = table._repr_html_()
    assert "and 980 more" in shown
    assert len(shown) < 20_000

"""`umlaut report`: all that is known of runs, in elements and attributes that can neither run nor ask for anything."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from tests import hostile
from tests.cli.rows import BEGAN, SECOND, event, process, result, run, span
from tests.figures.sampled import series, time_of
from umlaut_async.analysis import Results
from umlaut_async.analysis.bottleneck import bottleneck
from umlaut_async.analysis.figures.axes import value_range
from umlaut_async.analysis.figures.markup import LONGEST, element
from umlaut_async.analysis.figures.style import DARK, LIGHT
from umlaut_async.analysis.selectors import select_one
from umlaut_async.store.chunks import BLOCK
from umlaut_async.store.reading import reading
from umlaut_async.text import MISSING, safe

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut

ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "p", "a", "b", "small", "span",
    "div", "dl", "dt", "dd", "ul", "li", "figure", "figcaption", "details", "summary", "table", "caption", "thead",
    "tbody", "tr", "th", "td", "svg", "path", "rect",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "style", "id", "href", "scope", "tabindex", "role",
    "aria-label", "aria-hidden", "viewBox", "viewbox", "preserveAspectRatio", "preserveaspectratio", "d", "x", "y",
    "width", "height",
}  # fmt: skip
STYLES = re.compile(
    r"(left|top):-?[\d.]+%|(height|padding-left):[\d.]+r?em"
    r"|background:color-mix\(in srgb,var\(--c0\) \d+%,transparent\)"
)
UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Read(HTMLParser):
    """A page as it is read, of which every element and attribute must be one of ours."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str | None] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Check an element."""
        assert tag in ELEMENTS
        for name, value in attributes:
            assert name in ATTRIBUTES
            assert name != "style" or STYLES.fullmatch(value or ""), value
            if name == "href":
                self.links.append(value)
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Check an element without content."""
        self.handle_starttag(tag, attributes)
        if tag != "meta":
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Check that it ends what began last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        assert not UNPRINTABLE.search(data)
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """Refuse comments, which we do not write."""
        raise AssertionError(data)


def report_of(umlaut: Umlaut, database: Path, *selectors: str) -> str:
    """Return the text of a report."""
    out = database.parent / "report.html"
    result = umlaut("report", database, *selectors, "-o", out)
    assert (result.exit_code, result.output) == (0, "")
    return out.read_text("utf-8")


def test_a_report_says_all_that_is_known(store: Store, database: Path, umlaut: Umlaut) -> None:
    store(
        run(
            tags=["gpu", "night", "baseline:v1"],
            environment={"cpu": {"model": "fast"}, "python": "3.11", "gpus": [{"name": "none"}]},
        ),
        process(),
        call := span("train"),
        *series([1.0, 7.0, 3.0]),
        result("throughput", "Entries/second", 12.5, span=call.id),
        result("loss", "loss", None, [0.9, 0.5, 0.3], description="training loss"),
        result("confusion-matrix", "", None, {"matrix": [[8, 1], [2, 9]], "labels": ["cat", "dog"]}),
        result("mine", "J", 4.5, description="own value"),
        event("missed-ticks", "samples are missing of 'cpu'", data={"missed": 7}),
        event("missed-ticks", "samples are missing of 'io'", data={"missed": 1}),
        event("unavailable", "x", data={"description": "a", "type": "power", "reason": "no RAPL", "cure": "a CPU"}),
    )
    page = Read(report_of(umlaut, database))
    shown = " ".join(page.texts)
    for said in (
        "train.py", "aaaaaaaa-1111", "about it", "gpu, night, @v1", "1 min 30 s",
        "1 stage. train: 1 call, open for 2 s",
        "peak 7 MiB at 10 ms, 3 samples", "12.5 Entries/second", "0.9 → 0.3 in 3 values", "cat", "dog",
        "81", "own value", "4.5 J", "7 samples are missing of 'cpu'", "1 sample is missing of 'io'",
        "no RAPL", "a CPU", "cpu.model", "fast", "gpus[0].name",
    ):  # fmt: skip
        assert said in shown, said
    assert page.links == []


def test_a_report_begins_with_what_stands_out(store: Store, database: Path, umlaut: Umlaut) -> None:
    store(
        run(ended=BEGAN + 10 * SECOND),
        process(),
        train := span("train", started=BEGAN, duration=10 * SECOND),
        span(
            "load", parent=train.id, kind="async generator", started=BEGAN, duration=10 * SECOND, producing=6 * SECOND
        ),
    )
    shown = " ".join(Read(report_of(umlaut, database)).texts)
    with reading(database) as session:
        verdict, *_ = bottleneck(session, select_one(session)).verdicts
    assert "input-bound" in verdict.sentence
    at = [
        shown.index(said) for said in (verdict.sentence, verdict.rule, "load 60.0 %, train 40.0 %, in no stage 0.0 %")
    ]
    assert at == sorted(at)
    for said in ("Slowest calls", "first call", "critical path"):
        assert said in shown


def test_the_budget_shows_what_was_in_no_stage(store: Store, database: Path, umlaut: Umlaut) -> None:
    store(run(ended=BEGAN + 8 * SECOND), process(), span("train", started=BEGAN, duration=2 * SECOND))
    text = report_of(umlaut, database)
    assert "<title>in no stage: 75.0 %</title></rect>" in text
    (legend,) = re.findall(r'<ul class="legend">(.*?)</ul>', text)
    assert re.findall(r'class="bar (\w+)".*?</svg>([^<]+)</li>', legend) == [("c0", "train"), ("none", "in no stage")]


def test_several_runs_have_a_list_of_contents(store: Store, database: Path, umlaut: Umlaut) -> None:
    store(run(), run("bbbbbbbb-2222", started=BEGAN - SECOND, name="other"))
    page = Read(report_of(umlaut, database, "last", "bbbbbbbb,last"))
    assert page.links == ["#run0", "#run1"]
    assert "2 runs" in page.texts


def test_the_stages_of_several_runs_are_beside_each_other(store: Store, database: Path, umlaut: Umlaut) -> None:
    first, second = run("aaaaaaaa-1"), run("bbbbbbbb-2", started=BEGAN + SECOND, ended=BEGAN + 61 * SECOND)
    store(first, process("aaaaaaaa-1"), span("train"), span("train"), span("load"))
    store(second, process("bbbbbbbb-2", 2), span("train", process_id=2, duration=7 * SECOND))
    assert umlaut("report", database, "aaaaaaaa,bbbbbbbb", "-o", database.with_name("out.html")).exit_code == 0
    texts = Read(database.with_name("out.html").read_text()).texts
    at = next(index for index, text in enumerate(texts) if "umlaut compare" in text)
    beside = [text for text in texts[at + 1 :] if text.strip()][:12]
    assert beside == [
        *("stage", "aaaaaaaa", "bbbbbbbb"),
        *("run time", "1 min 30 s", "1 min 0 s"),
        *("train", "4 s", "7 s"),
        *("load", "2 s", MISSING),
    ]  # fmt: skip


def test_every_chart_has_its_data(store: Store, database: Path, umlaut: Umlaut) -> None:
    values = [1.0] * 2000
    values[1234] = 77.5
    store(run(ended=BEGAN + 20 * SECOND), process(), *series(values))
    text = report_of(umlaut, database)
    cells = re.findall(r'<td class="number">([\d.]+)</td></tr>', text)
    assert cells.count("77.5") == 1
    assert len(cells) <= 61


def test_the_band_of_a_plot_reaches_to_the_peak(store: Store, database: Path, umlaut: Umlaut) -> None:
    values = [10.0] * 70 * BLOCK
    values[41 * BLOCK + 1234] = 100.0
    store(run(ended=time_of(len(values))), process(), *series(values))
    (band,) = re.findall(r'class="band c0" d="([^"]*)"', report_of(umlaut, database))
    low, high = value_range(10.0, 100.0)
    heights: dict[float, float] = {}
    for x, y, until in re.findall(r"[ML]([\d.]+) ([\d.]+)H([\d.]+)", band):
        middle = (float(x) + float(until)) / 2
        heights[middle] = min(heights.get(middle, 100.0), float(y))
    highest = min(heights.values())
    assert highest == pytest.approx(100 * (1 - (100.0 - low) / (high - low)), abs=0.1)
    where = [x for x, y in heights.items() if y == highest]
    block = 1000 / 70
    assert all(abs(x - 1000 * (41 * BLOCK + 1234) / len(values)) <= block for x in where)
    (mean,) = re.findall(r'class="mean c0" d="([^"]*)"', report_of(umlaut, database))
    assert min(float(y) for y in re.findall(r" ([\d.]+)", mean)) > highest + 50


def test_a_loss_of_any_length_keeps_its_peak_and_says_what_is_missing(
    store: Store, database: Path, umlaut: Umlaut
) -> None:
    losses = [1.0] * 100_000
    losses[54_321], losses[7] = 42.25, float("inf")
    store(run(), process(), result("loss", "loss", None, losses, description="it"))
    text = report_of(umlaut, database)
    assert "42.25" in text
    assert "1 of 100,000 values are not finite" in text
    assert len(text) < 100_000


def test_no_text_becomes_markup(store: Store, database: Path, umlaut: Umlaut) -> None:
    assert len(set(hostile.TEXTS)) >= 150
    selectors = []
    for number, texts in enumerate(hostile.BATCHES, 1):
        store(*hostile.in_every_text(texts, f"{number:08}-0000", number))
        selectors.append(f"{number:08}")
    text = report_of(umlaut, database, *selectors)
    page = Read(text)
    assert page.links == [f"#run{at}" for at in range(len(selectors))]
    shown = set(page.texts)
    for each in hostile.TEXTS:
        kept = safe(each, longest=LONGEST)
        assert not kept or kept in shown or any(kept in other for other in shown), kept


def test_ten_megabytes_in_every_field_are_cut(store: Store, database: Path, umlaut: Umlaut) -> None:
    try:
        store(*hostile.in_every_text([hostile.LONG]))
        assert len(report_of(umlaut, database)) < 500_000
        for command, most in (("plot", 20_000), ("runs", 20_000), ("show", 100_000)):
            shown = umlaut(command, database)
            assert (shown.exit_code, shown.stderr) == (0, "")
            assert "<b><b>" in shown.stdout
            assert len(shown.stdout) < most
        results = Results(database)
        found = results.run()
        cards: list[Any] = [results, found, found.stages, found.calls, found.results, found.events]
        for card in cards:
            html = card._repr_html_()
            assert "&lt;b&gt;&lt;b&gt;" in html
            assert "<b><b>" not in html
            assert len(html) < 100_000
    finally:
        database.unlink()  # which is too large to be kept


@pytest.mark.parametrize("text", [*hostile.TEXTS, *hostile.LONE_SURROGATES])
def test_an_element_escapes_text_and_attributes(text: str) -> None:
    made = element("td", text, class_=text)
    made.encode()
    assert Read(made).texts in ([], [safe(text, longest=LONGEST)])


def contrast(a: str, b: str) -> float:
    """Return the contrast of two colours, as the accessibility guidelines of the web define it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_can_be_read(colours: dict[str, str]) -> None:
    for ground in ("page", "panel"):
        assert contrast(colours["text"], colours[ground]) >= 7
        assert contrast(colours["muted"], colours[ground]) >= 4.5
        for name in ("failed", *(f"c{at}" for at in range(8))):
            assert contrast(colours[name], colours[ground]) >= 4.5, name

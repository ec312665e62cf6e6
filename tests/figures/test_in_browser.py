"""Reports as a browser shows them: whole, within the page, in both schemes, and inert whatever a text holds."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.image
import pytest

from tests import hostile
from tests.browser import Browser
from tests.cli.rows import BEGAN, SECOND, event, process, result, run, span
from tests.figures.sampled import series
from tests.figures.test_report import ATTRIBUTES, ELEMENTS
from umlaut_async.analysis.figures.markup import Markup
from umlaut_async.analysis.figures.page import page
from umlaut_async.analysis.figures.style import DARK, LIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser import Page
    from tests.cli.conftest import Store, Umlaut

SCREENS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

OVERLAPS = """
[...document.querySelectorAll('.axis')].flatMap(axis => {
    const shown = [...axis.children].map(label => label.getBoundingClientRect()).filter(box => box.width);
    shown.sort((a, b) => a.left - b.left);
    return shown.slice(1).filter((box, at) => box.left < shown[at].right + 2).map(box => box.left);
})
"""
OUTSIDE = """
[...document.querySelectorAll('main *')].filter(each => {
    const box = each.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 1 || box.left < -1) && !each.closest('.table, svg');
}).map(each => each.tagName + ' ' + each.className)
"""
WITHOUT_WORDS = """
[...document.querySelectorAll('figure')].filter(figure =>
    !figure.querySelector('figcaption').innerText.trim()
    || (figure.querySelector('.plot') && !figure.querySelector('table'))
    || [...figure.querySelectorAll('.plot svg')].some(svg => !svg.getAttribute('aria-label'))
).map(figure => figure.innerText)
"""
SCROLLING = """
[...document.querySelectorAll('.table')].filter(
    each => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1
).map(each => {
    const box = each.getBoundingClientRect();
    return [box.left, box.right, box.top + scrollY, box.bottom + scrollY].map(Math.round);
})
"""
TO_THE_END = "document.querySelectorAll('.table').forEach(each => each.scrollLeft = each.scrollWidth)"
SMALL_PLOTS = """
[...document.querySelectorAll('.plot svg')].filter(svg => {
    const box = svg.getBoundingClientRect();
    return box.width < 300 || box.height < 10;
}).length
"""
ALIGNED = "new Set([...document.querySelectorAll('.plot svg')].map(svg => svg.getBoundingClientRect().left)).size"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser."""
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def report(store: Store, database: Path, umlaut: Umlaut, tmp_path: Path) -> Path:
    """Return a report with everything that a report may have."""
    outer = span("train_one_epoch_of_the_model", started=BEGAN, duration=55 * SECOND)
    waves = [50 + 30 * (at % 97) / 97 for at in range(6000)]
    outer = span("train_one_epoch_of_the_model", started=BEGAN, duration=55 * SECOND)
    store(
        run(ended=BEGAN + 60 * SECOND, environment={"cpu": {"model": "x" * 90, "count": 8}, "packages": ["a", "b"]}),
        process(),
        outer,
        *(
            span("load", parent=outer.id, started=BEGAN + at * SECOND, duration=SECOND * 3 // 2, status=status)
            for at, status in enumerate(["ok"] * 40 + ["error"] * 2)
        ),
        span("serve", started=BEGAN + 56 * SECOND, duration=None, status="running"),
        result("throughput", "Entries/second", 12.5, span=outer.id),
        *series(waves),
        *(row for number in (2, 3) for row in series(waves[::-1], number=number, type_="cpu", unit="%")),
        result("loss", "loss", None, [1 / (1 + at) for at in range(3000)], description="training loss"),
        result("tta", "accuracy", None, [0.5, float("nan"), 0.9], description="accuracy"),
        result("confusion-matrix", "", None, {"matrix": [[8, 1], [2, 9]], "labels": ["cat", "dog"]}),
        result("hyperparameters", "", None, {"target": "loss", "measurements": [{"depth": 3, "loss": 0.2}]}),
        result("mine", "J", 4.5),
        event("missed-ticks", "samples are missing", data={"missed": 7}),
        event("unavailable", "x", data={"description": "power", "type": "power", "reason": "no RAPL", "cure": "a CPU"}),
        run("bbbbbbbb-2222", started=BEGAN - 60 * SECOND, name="another"),
    )
    file = tmp_path / "report.html"
    result_of_command = umlaut("report", database, "last", "last~1", "-o", file)
    assert (result_of_command.exit_code, result_of_command.output) == (0, "")
    return file


def opened_quietly(browser: Browser, path: Path, width: int, scheme: str) -> Page:
    """Open a file, and check that it neither complained nor asked for anything else."""
    opened = browser.open(path, width, scheme)
    assert opened.seen.complaints == []
    assert opened.seen.requests == [path.absolute().as_uri()]
    return opened


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_a_report_fits_every_screen(browser: Browser, report: Path, width: int, scheme: str) -> None:
    opened = opened_quietly(browser, report, width, scheme)
    assert opened.evaluate("innerWidth") == width
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    for nothing in (OVERLAPS, OUTSIDE, WITHOUT_WORDS):
        assert opened.evaluate(nothing) == [], nothing
    assert opened.evaluate(SMALL_PLOTS) == 0
    assert opened.evaluate(ALIGNED) == 1
    background = (LIGHT if scheme == "light" else DARK)["page"]
    red, green, blue = (int(background[at : at + 2], 16) for at in (1, 3, 5))
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == f"rgb({red}, {green}, {blue})"
    assert opened.evaluate("document.scripts.length") == 0
    picture = opened.picture()
    assert picture.startswith(b"\x89PNG")
    # To look at them: a test cannot say what is ugly.
    if folder := os.environ.get("UMLAUT_SCREENSHOTS"):
        (Path(folder) / f"report-{width}-{scheme}.png").write_bytes(picture)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_shows_on_which_side_it_goes_on(browser: Browser, report: Path, scheme: str) -> None:
    opened = browser.open(report, 390, scheme)
    tables = opened.evaluate(SCROLLING)
    assert len(tables) >= 3  # stages, tracked values, events
    colours = LIGHT if scheme == "light" else DARK
    grounds = [[int(colours[name][at : at + 2], 16) for at in (1, 3, 5)] for name in ("page", "panel")]

    def shaded(picture: bytes, at: int, top: int, bottom: int) -> float:
        """Return how much of a column of pixels is not the ground of the page."""
        pixels = matplotlib.image.imread(io.BytesIO(picture), format="png")[top:bottom, at, :3] * 255
        return 1 - max(float((abs(pixels - ground).max(axis=1) < 3).mean()) for ground in grounds)

    for moved, (clear, goes_on) in ((False, (0, -1)), (True, (-1, 0))):
        if moved:
            opened.evaluate(TO_THE_END)
        picture = opened.picture()
        for left, right, top, bottom in tables:
            edges = [left + 1, right - 2]
            assert shaded(picture, edges[goes_on], top, bottom) > 0.9, (moved, top)
            assert shaded(picture, edges[clear], top, bottom) < 0.6, (moved, top)


def test_hostile_texts_are_only_texts(
    browser: Browser, store: Store, database: Path, umlaut: Umlaut, tmp_path: Path
) -> None:
    for number, texts in enumerate(hostile.BATCHES, 1):
        store(*hostile.in_every_text(texts, f"{number:08}-0000", number))
    page_file = tmp_path / "report.html"
    selectors = [f"{number:08}" for number in range(1, len(hostile.BATCHES) + 1)]
    assert umlaut("report", database, *selectors, "-o", page_file).exit_code == 0
    opened = opened_quietly(browser, page_file, 1280, "light")
    assert opened.evaluate("typeof pwned") == "undefined"
    widest = "Math.max(...[...document.querySelectorAll('td, th')].map(each => each.getBoundingClientRect().width))"
    assert opened.evaluate(widest) < 1000
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1280
    assert set(opened.evaluate("[...new Set([...document.all].map(each => each.localName))]")) <= ELEMENTS
    names = "[...new Set([...document.all].flatMap(each => [...each.attributes].map(attribute => attribute.name)))]"
    assert set(opened.evaluate(names)) <= ATTRIBUTES
    links = opened.evaluate("[...document.querySelectorAll('[href]')].map(each => each.getAttribute('href'))")
    assert links == [f"#run{at}" for at in range(len(selectors))]
    assert opened.evaluate("document.querySelector('main').innerText.includes('<script>window.pwned=1</script>')")


def test_what_slips_through_the_escaping_neither_runs_nor_asks(browser: Browser, tmp_path: Path) -> None:
    slipped = Markup(
        "<script>window.pwned=1</script><img src=https://evil.example/a onerror='window.pwned=1'>"
        "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe><link rel=stylesheet href=https://evil.example/a.css>"
    )
    file = tmp_path / "page.html"
    file.write_text(page("a page", slipped))
    opened = browser.open(file, 1280, "light")
    assert opened.evaluate("typeof pwned") == "undefined"
    asked_for = [address for address in opened.seen.requests if "evil" in address]
    assert sorted(asked_for) == sorted(opened.seen.refused) != []
    assert opened.seen.complaints != []  # so complaints are heard

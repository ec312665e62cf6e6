"""`umlaut plot`: a page, a picture or text, and one line where that cannot be."""

from __future__ import annotations

import random
import re
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from tests import hostile
from tests.cli.rows import BEGAN, SECOND, process, run, span
from tests.figures.sampled import series
from tests.support import ROOT
from umlaut_async.cli.plot import plot
from umlaut_async.store.models import Sample, Series

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Store, Umlaut, UmlautProcess


@pytest.fixture
def drawn(store: Store, database: Path) -> Path:
    """Return a database with a run that has stages and two metrics."""
    values = [20.0] * 300
    values[123] = 90.0
    store(
        run(ended=BEGAN + 3 * SECOND, name="a $run$ of _mathtext^"),
        process(),
        outer := span("train", started=BEGAN, duration=2 * SECOND),
        span("load", parent=outer.id, started=BEGAN + SECOND // 2, duration=SECOND, status="error", error="no"),
        *series(values),
        *series([50.0] * 300, number=2, type_="cpu", unit="%"),
    )
    return database


def test_text_shows_stages_series_and_the_peak(drawn: Path, umlaut: Umlaut) -> None:
    result = umlaut("plot", drawn, "-m", "memory")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("train ")
    assert lines[0].endswith("1 call")
    assert lines[1].startswith("  load ")
    assert "▒" in lines[1]
    assert lines[1].endswith("1 call, 1 failed")
    assert "memory: mean 20.2 MiB, peak 90 MiB at 1.23 s, 300 samples." in lines
    assert "cpu" not in result.stdout
    # The peak is drawn in the highest row, above its time.
    top = lines[lines.index("memory: mean 20.2 MiB, peak 90 MiB at 1.23 s, 300 samples.") + 1]
    at = max(top.rfind("█"), top.rfind("░"))
    assert abs((at - 18) / 82 - 1.23 / 3) < 0.02
    assert max(map(len, lines)) <= 130


def test_text_is_as_wide_as_asked(drawn: Path, umlaut: Umlaut) -> None:
    narrow = umlaut("plot", drawn, "--width", 60).stdout.splitlines()
    wide = umlaut("plot", drawn, "--width", 160).stdout.splitlines()
    assert len(narrow[0].removesuffix(" 1 call")) == 60
    assert len(wide[0].removesuffix(" 1 call")) == 160
    assert umlaut("plot", drawn, "--width", 10).exit_code == 2


def test_a_page_and_a_picture_are_written(drawn: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    page, picture = tmp_path / "run.html", tmp_path / "run.png"
    result = umlaut("plot", drawn, "--html", page, "--png", picture, "-m", "cpu,memory")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    text = page.read_text("utf-8")
    assert text.index(">cpu<") < text.index(">memory<")
    assert "peak 90 MiB at 1.23 s" in text
    header = picture.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    assert width > 800
    assert height > 400


def test_text_comes_with_a_page_where_both_are_asked_for(drawn: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    result = umlaut("plot", drawn, "--html", tmp_path / "run.html", "--text")
    assert "peak 90 MiB at 1.23 s" in result.stdout
    assert (tmp_path / "run.html").exists()


def test_a_window_is_cut_out(drawn: Path, umlaut: Umlaut) -> None:
    assert "peak 90 MiB" in umlaut("plot", drawn, "--from", 1.2, "--to", 1.3).stdout
    assert "peak 20 MiB" in umlaut("plot", drawn, "--from", 1.25, "--to", 1.3).stdout


def test_a_window_without_samples_says_so(drawn: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    window = ("--from", 1.002, "--to", 1.008)
    said = "memory: no samples in this time; 20 MiB between the nearest before and after it."
    shown = umlaut("plot", drawn, "-m", "memory", *window).stdout
    assert said in shown
    assert shown.count("█") > 150  # stages, and the line
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    assert umlaut("plot", drawn, *window, "--html", page, "--png", picture).exit_code == 0
    assert "no samples in this time; 20 MiB" in page.read_text("utf-8")


def test_a_time_in_which_nothing_was_sampled_says_so(
    store: Store, database: Path, umlaut: Umlaut, tmp_path: Path
) -> None:
    store(run(), process(), span("serve", started=BEGAN, duration=60 * SECOND), *series([1.0] * 100))
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    shown = umlaut("plot", database, "--from", 5, "--to", 6, "--html", page, "--png", picture, "--text")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "memory: no samples in this time." in shown.stdout
    assert "No samples in this time." in page.read_text("utf-8")


def test_axes_of_short_times_have_the_unit_of_the_sentence(
    store: Store, database: Path, umlaut: Umlaut, tmp_path: Path
) -> None:
    values = [156e-6, 20e-6, 90e-6]
    store(run(ended=BEGAN + SECOND), process(), *series(values, type_="looplag", unit="sec", source="loop"))
    page = tmp_path / "a.html"
    shown = umlaut("plot", database, "--text", "--html", page)
    assert "peak 156 µs" in shown.stdout
    assert re.search(r"^ +164 µs ┤", shown.stdout, re.MULTILINE)
    assert re.search(r"^ +0 ┤", shown.stdout, re.MULTILINE)
    assert re.findall(r'class="value"[^>]*>([^<]*)<', page.read_text("utf-8")) == ["0", "50 µs", "100 µs", "150 µs"]
    assert "<small>sec</small>" not in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("-m", "rss"), 1, "no samples of 'rss'; sampled were: cpu, memory"),
        (("nothing",), 1, "no run has the name 'nothing'"),
        (("--from", "5", "--to", "1"), 1, "the window ends before it begins"),
        (("--from", "500"), 1, "the run ends after 3 s"),
        (("-m", " , "), 2, "-m ' , ' names no type of series"),
        (("--png", "-"), 2, "a picture is no text"),
        (("--from", "nan"), 2, "seconds since the start of the run"),
        (("--html", "{folder}"), 2, "is a folder"),
        (("--html", "{folder}/no/run.html"), 2, "there is no folder"),
        (("--png", "{database}"), 2, "is the database itself"),
    ],
)
def test_what_cannot_be_is_one_line(
    drawn: Path, umlaut: Umlaut, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    before = drawn.read_bytes()
    result = umlaut("plot", drawn, *(each.format(folder=tmp_path, database=drawn) for each in arguments))
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert drawn.read_bytes() == before


def test_a_picture_without_matplotlib_names_the_extra(
    drawn: Path, umlaut: Umlaut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = umlaut("plot", drawn, "--png", tmp_path / "run.png")
    assert result.exit_code == 1
    assert "pip install 'umlaut_async[plot]'" in result.stderr


def test_a_page_needs_neither_matplotlib_nor_numpy(drawn: Path, umlaut_process: UmlautProcess, tmp_path: Path) -> None:
    for module in ("matplotlib", "numpy", "plotly", "pandas"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not needed')")
    result = umlaut_process("report", drawn, "-o", "report.html")
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "report.html").exists()
    assert umlaut_process("plot", drawn).returncode == 0


def test_an_empty_run_is_drawn(store: Store, database: Path, umlaut: Umlaut, tmp_path: Path) -> None:
    store(run(status="running", ended=None))
    result = umlaut("plot", database, "--text", "--html", tmp_path / "a.html", "--png", tmp_path / "a.png")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "No stage was called in this time." in (tmp_path / "a.html").read_text("utf-8")


def test_letters_that_the_font_of_the_picture_lacks_do_no_harm(
    store: Store, database: Path, umlaut: Umlaut, tmp_path: Path
) -> None:
    store(run(name="訓練 $\\frac{$"), process(), span("训练 $x^{", status="ok"), *series([1.0], unit="$\\bad{$"))
    result = umlaut("plot", database, "--png", tmp_path / "a.png")
    assert (result.exit_code, result.stderr) == (0, "")


def test_the_documentation_names_the_options_that_there_are() -> None:
    documented = (ROOT / "docs" / "figures.md").read_text("utf-8")
    named = set(re.findall(r"--[a-z]+", documented))
    there_are = {option for parameter in plot.params for option in parameter.opts if option.startswith("--")}
    assert named == there_are - {"--metrics"}


def test_hostile_texts_leave_the_terminal_and_the_picture_alone(
    store: Store, database: Path, umlaut: Umlaut, tmp_path: Path
) -> None:
    for number, texts in enumerate(hostile.BATCHES, 1):
        uuid = f"{number:08}-0000"
        store(*hostile.in_every_text(texts, uuid, number))
        result = umlaut("plot", database, uuid)
        assert (result.exit_code, result.stderr) == (0, "")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", result.stdout)
        assert len(result.stdout) < 100_000
    pictured = umlaut("plot", database, "00000001", "-m", hostile.TEXTS[0], "--png", tmp_path / "a.png")
    assert (pictured.exit_code, pictured.stderr) == (0, "")


TIMES = [-(2**63), -(2**62), -1, 0, 1, BEGAN, BEGAN + SECOND, 2**62, 2**63 - 1]
VALUES = [-1.7e308, -1.0, 0.0, 5e-324, 1.0, 1e200, 1.7e308]


@pytest.mark.parametrize("seed", range(25))
def test_no_number_is_too_large_to_be_drawn(
    store: Store, database: Path, umlaut: Umlaut, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)

    def time() -> int:
        return chance.choice(TIMES)

    def duration() -> int | None:
        return chance.choice([*TIMES, None])

    spans = [span(chance.choice("ab"), started=time(), duration=duration(), producing=duration()) for _ in range(5)]
    samples = [Sample(id=at, series_id=1, t=time(), value=chance.choice(VALUES)) for at in range(chance.randrange(6))]
    one = Series(id=1, process_id=1, type="m", unit="", source="", provenance="measured", interval=time())
    store(run(started=time(), ended=duration()), process(), *spans, one, *samples)
    for arguments in (("plot", database), ("report", database, "-o", tmp_path / "report.html")):
        result = umlaut(*arguments)
        assert (result.exit_code, result.stderr) == (0, "")
    result = umlaut("plot", database, "--png", tmp_path / "run.png")
    assert result.exit_code == 0 or "matplotlib cannot draw numbers as large as these" in result.stderr

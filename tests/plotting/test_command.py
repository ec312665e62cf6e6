"""`umlaut-cli`: its arguments, its questions, and where its output goes."""

from __future__ import annotations

import csv
import io
import os
import pkgutil
import site
import sqlite3
import subprocess
import sys
import time
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests import support
from tests.plotting.databases import OLD_UUID
from umlaut_async.compat.command import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plotting.conftest import Cli

    Everything = Callable[[str], list[str]]

RUN = "from umlaut_async.compat.command import main; main()"
TIME = ("-u", OLD_UUID, "-t", "time", "-d", "time of training")


def in_process(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        cwd=folder,
        env=support.environment() | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def types(text: str) -> set[str]:
    """Return the types that stand in CSV."""
    return {row["type"] for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.parametrize("name", ["ours", "last", "first"])
def test_text_and_csv_go_to_standard_output(name: str, cli: Cli, everything: Everything) -> None:
    ended = cli(*everything(name), "-p", "csv")
    assert (ended.code, ended.err) == (0, "")
    assert len(types(ended.out)) >= 16
    ended = cli(*everything(name), "--plotting-backend", "text")
    assert (ended.code, ended.err) == (0, "")
    assert "Confusion matrix" in ended.out


def test_the_long_names(cli: Cli, stored: dict[str, Path]) -> None:
    ended = cli(
        stored["last"], "--uuids", OLD_UUID, "--types", "time", "cpu", "--descriptions", "time of training",
        "cpu of training", "--plotting-backend", "csv",
    )  # fmt: skip
    assert (ended.code, types(ended.out)) == (0, {"time", "cpu"})


@pytest.mark.parametrize("name", ["ours", "last", "first"])
def test_matplotlib_writes_into_a_folder(name: str, cli: Cli, everything: Everything, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    ended = cli(*everything(name), "-p", "matplotlib", "-o", folder)
    assert (ended.code, ended.err) == (0, "")
    written = sorted(folder.iterdir())
    assert sorted(ended.out.splitlines()) == [str(path) for path in written]
    assert len(written) >= 16
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    assert {f"{name}-cpu.png", f"{name}-timed-tta.png", f"{name}-confusion-matrix.png"} <= {
        path.name for path in written
    }


def test_plotly_is_the_default_and_writes_pages(cli: Cli, stored: dict[str, Path], tmp_path: Path) -> None:
    ended = cli(stored["last"], *TIME, "-o", tmp_path)
    assert (ended.code, ended.out) == (0, f"{tmp_path}/last-time.html\n")
    page = (tmp_path / "last-time.html").read_text()
    assert "Time taken in sec" in page
    assert "Plotly.newPlot" in page
    assert len(page) > 1_000_000, "it is to be seen without a network"


def test_text_and_csv_go_into_a_folder(cli: Cli, stored: dict[str, Path], tmp_path: Path) -> None:
    assert cli(stored["last"], *TIME, "-p", "csv", "-o", tmp_path).out == f"{tmp_path}/last.csv\n"
    assert types((tmp_path / "last.csv").read_text()) == {"time"}
    assert cli(stored["last"], *TIME, "-p", "text", "-o", tmp_path).out == f"{tmp_path}/last.txt\n"
    assert "Time taken in sec" in (tmp_path / "last.txt").read_text()


@pytest.mark.parametrize(("backend", "suffix"), [("matplotlib", "png"), ("plotly", "html")])
def test_without_a_display_figures_are_written_here_and_named(
    backend: str, suffix: str, cli: Cli, stored: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(stored["last"], *TIME, "-p", backend)
    assert (ended.code, ended.out, ended.err) == (0, f"last-time.{suffix}\n", "")
    assert (tmp_path / f"last-time.{suffix}").stat().st_size > 1000


def test_with_a_display_plotly_opens_a_browser(stored: dict[str, Path], tmp_path: Path) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(
        f"#!{sys.executable}\nimport sys, urllib.request\n"
        f"open({str(seen)!r}, 'wb').write(urllib.request.urlopen(sys.argv[1]).read())\n"
    )
    browser.chmod(0o755)
    ended = in_process(
        tmp_path, stored["last"], *TIME, DISPLAY=":99", BROWSER=f"{browser} %s &", http_proxy="", no_proxy="*"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    # The browser ends on its own.
    deadline = time.monotonic() + 30
    while b"Plotly.newPlot" not in (seen.read_bytes() if seen.exists() else b""):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_browser_without_a_display_is_none(stored: dict[str, Path], tmp_path: Path) -> None:
    ended = in_process(tmp_path, stored["last"], *TIME, DISPLAY="", BROWSER="true")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "last-time.html\n", "")


def test_a_display_without_windows_is_none(stored: dict[str, Path], tmp_path: Path) -> None:
    ended = in_process(tmp_path, stored["last"], *TIME, "-p", "matplotlib", DISPLAY=":99", MPLBACKEND="agg")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "last-time.png\n", "")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), ("-u/--uuids", "-t/--types", "-d/--descriptions")),
        (("-u", OLD_UUID), ("-t/--types", "-d/--descriptions")),
        (("-u", OLD_UUID, "-t", "time"), ("-d/--descriptions",)),
        (("-d", "time of training", "-t", "time"), ("-u/--uuids",)),
    ],
)
def test_what_is_missing_is_named_where_no_terminal_is(
    given: tuple[str, ...], missing: tuple[str, ...], cli: Cli, stored: dict[str, Path]
) -> None:
    ended = cli(stored["last"], *given)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1].endswith(f"required: {', '.join(missing)}")


@pytest.mark.parametrize("arguments", [("-p", "seaborn"), ("-u",), ("--unknown",)])
def test_arguments_that_cannot_be(arguments: tuple[str, ...], cli: Cli, stored: dict[str, Path]) -> None:
    assert cli(stored["last"], *TIME, *arguments).code == 2


def test_it_is_installed_under_its_name() -> None:
    with (support.ROOT / "pyproject.toml").open("rb") as file:
        scripts = tomllib.load(file)["project"]["scripts"]
    assert pkgutil.resolve_name(scripts["umlaut-cli"]) is main


def test_help_names_all(cli: Cli) -> None:
    ended = cli("--help")
    assert ended.code == 0
    for flag in (
        "--uuids",
        "--types",
        "--descriptions",
        "--plotting-backend",
        "matplotlib,plotly,text,csv",
        "--output",
    ):
        assert flag in ended.out


@pytest.mark.parametrize("arguments", [("-tmp", "/tmp/umlaut"), ("-tmp",)])
def test_tmp_is_taken_with_a_warning(arguments: tuple[str, ...], cli: Cli, stored: dict[str, Path]) -> None:
    ended = cli(stored["last"], *TIME, "-p", "csv", *arguments)
    assert (ended.code, types(ended.out)) == (0, {"time"})
    assert ended.err.startswith("umlaut-cli: -tmp is ignored")


def test_the_beginning_of_a_uuid_is_enough(cli: Cli, stored: dict[str, Path]) -> None:
    ended = cli(stored["last"], "-u", OLD_UUID[:8], *TIME[2:], "-p", "csv")
    assert (ended.code, types(ended.out)) == (0, {"time"})


@pytest.mark.parametrize(
    "description",
    ["latency of training", "latency of training\n (#Entries = 20)", "latency of training (#Entries = 20)"],
)
def test_the_number_of_entries_belongs_to_no_description(description: str, cli: Cli, stored: dict[str, Path]) -> None:
    ended = cli(stored["last"], "-u", OLD_UUID, "-t", "latency", "-d", description, "-p", "csv")
    assert (ended.code, types(ended.out), ended.err) == (0, {"latency"}, "")


def test_what_only_some_runs_have_is_named_and_left_out(cli: Cli, stored: dict[str, Path]) -> None:
    ended = cli(
        stored["last"], "-u", OLD_UUID, "no-such", "-t", "time", "tpu", "-d", "time of training", "x", "-p", "csv"
    )
    assert (ended.code, types(ended.out)) == (0, {"time"})
    assert [line.rpartition(" ")[2] for line in ended.err.splitlines()] == ["'no-such'", "'tpu'", "'x'"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("-u", "no-such", "-t", "time", "-d", "x"), OLD_UUID),
        (("-u", OLD_UUID, "-t", "tpu", "-d", "x"), "'confusion-matrix', 'cpu'"),
        (("-u", OLD_UUID, "-t", "time", "-d", "x"), "'time of training'"),
        (("-u", OLD_UUID, "-t", "time", "-d", "cpu of training"), "'time of training'"),
    ],
)
def test_nothing_that_was_asked_for(arguments: tuple[str, ...], named: str, cli: Cli, stored: dict[str, Path]) -> None:
    ended = cli(stored["last"], *arguments, "-p", "csv")
    assert (ended.code, ended.out) == (1, "")
    assert named in ended.err.splitlines()[-1]


def damaged(path: Path) -> Path:
    """Return a database of another application."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (a)")
    connection.close()
    return path


def test_files_that_cannot_be_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    for file in (
        tmp_path / "missing.db",
        tmp_path,
        tmp_path / "text",
        damaged(tmp_path / "other.db"),
        "postgresql://x/y",
    ):
        ended = cli(file, *TIME, "-p", "csv")
        assert (ended.code, ended.out) == (1, ""), file
        (line,) = ended.err.splitlines()
        assert line.startswith("umlaut-cli: ")
    assert not (tmp_path / "missing.db").exists()


def test_a_folder_that_cannot_be_written(cli: Cli, stored: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for backend in ("csv", "text", "matplotlib", "plotly"):
        ended = cli(stored["last"], *TIME, "-p", backend, "-o", tmp_path / "file" / "folder")
        assert (ended.code, ended.out) == (1, "")
        assert "cannot be written" in ended.err


def test_names_of_files_stay_in_the_folder(cli: Cli, tmp_path: Path) -> None:
    old = tmp_path / "..odd name.db"
    connection = sqlite3.connect(old)
    with connection:
        connection.execute("CREATE TABLE benchmark_metadata (uuid, meta_description, meta_start_time)")
        connection.execute(
            "CREATE TABLE measurement (id INTEGER PRIMARY KEY, uuid, measurement_datetime, measurement_description,"
            " measurement_type, measurement_data JSON, measurement_unit)"
        )
        for kind in ("../../up", "..", "", "/etc/x", "a/b", "a:b", "x" * 500):
            connection.execute(
                "INSERT INTO measurement (uuid, measurement_description, measurement_type, measurement_data)"
                " VALUES ('u', 'd', ?, '1')",
                (kind,),
            )
    connection.close()
    kinds = ["../../up", "..", "", "/etc/x", "a/b", "a:b", "x" * 500]
    folder = tmp_path / "in" / "out"
    ended = cli(old, "-u", "u", "-t", *kinds, "-d", "d", "-p", "matplotlib", "-o", folder)
    assert (ended.code, ended.err) == (0, "")
    assert len(list(folder.iterdir())) == 7
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {old.name, *os.listdir(folder)}


def test_the_plotting_libraries_are_imported_only_where_they_are_used(stored: dict[str, Path]) -> None:
    show = "import sys; print(sorted({'matplotlib', 'plotly', 'questionary', 'pandas', 'numpy'} & sys.modules.keys()))"
    for given in ("text", "csv"):
        script = f"import atexit; atexit.register(lambda: exec({show!r})); {RUN}"
        ended = subprocess.run(
            [sys.executable, "-c", script, str(stored["last"]), *TIME, "-p", given],
            env=support.environment(), capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert ended.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def without_extra(tmp_path: Path) -> dict[str, str]:
    """Return the environment of an interpreter in which the extra `plot` is not installed."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for packages in site.getsitepackages():
        for entry in os.scandir(packages):
            if not entry.name.startswith(("matplotlib", "plotly", "questionary", "__")):
                (folder / entry.name).symlink_to(entry.path)
    return {"PYTHONPATH": os.pathsep.join([str(support.ROOT), str(folder)])}


@pytest.mark.parametrize("backend", ["matplotlib", "plotly"])
def test_without_the_extra_its_name_is_told(
    backend: str, without_extra: dict[str, str], stored: dict[str, Path]
) -> None:
    def run(backend: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-S", "-c", RUN, str(stored["last"]), *TIME, "-p", backend],
            env=os.environ | without_extra, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    ended = run(backend)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert f"{backend} is needed" in line
    assert "umlaut_async[plot]" in line
    ended = run("text")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_reader_that_has_had_enough(everything: Everything, tmp_path: Path) -> None:
    with (tmp_path / "errors").open("wb") as errors:
        command = subprocess.Popen(
            [sys.executable, "-c", RUN, *everything("last"), "-p", "csv"],
            env=support.environment(), stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert command.stdout is not None
        command.stdout.close()
        assert command.wait(60) == 1
    assert (tmp_path / "errors").read_bytes() == b""


def test_the_beginning_of_several_uuids_is_refused() -> None:
    from umlaut_async import ArgumentError
    from umlaut_async.compat.choosing import Choice, chosen

    found = [Choice(uuid, "loss", "mine") for uuid in ("ab", "abc1", "abc2")]
    with pytest.raises(ArgumentError, match="2 runs have a uuid that begins with 'abc': 'abc1', 'abc2'"):
        chosen(found, ["abc"], None, None, pytest.fail)
    assert chosen(found, ["ab"], None, None, pytest.fail) == found[:1]

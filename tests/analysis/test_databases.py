"""Databases that UMLAUT wrote, read in the same way as ours."""

from __future__ import annotations

import gc
import json
import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.legacy import old_databases as old
from umlaut_async.analysis import Results
from umlaut_async.analysis.databases import reading_any
from umlaut_async.errors import NotAStoreError, OldDatabaseError
from umlaut_async.store import housekeeping, queries

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Umlaut


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder into which copies go."""
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("form", old.FORMS)
async def test_results_of_an_old_database(tmp_path: Path, copies: Path, form: str) -> None:
    path = old.make(tmp_path / "old.db", form, old.rows(form))
    before = path.read_bytes()
    results = Results(path)  # in a running loop, as in a notebook
    (run,) = results.runs()
    assert run.uuid == old.RUN
    assert results.run(old.RUN[:4]).uuid == old.RUN
    found = {row["type"]: row for row in run.results}
    assert set(found) == set(old.TYPES)
    assert found["time"]["value"] == old.NUMBERS["time"]
    assert list(run.samples("memory")["value"]) == old.SAMPLES
    assert len(run.results.to_pandas()) == len(old.TYPES)
    assert "memory" in run._repr_html_()
    assert len(os.listdir(copies)) == 1
    del results, run, found
    gc.collect()
    assert os.listdir(copies) == []
    assert path.read_bytes() == before


def test_a_copy_goes_with_its_question(tmp_path: Path, copies: Path) -> None:
    path = old.make(tmp_path / "old.db", "json", old.rows("json"))
    with reading_any(path) as session:
        assert [run.uuid for run in queries.runs(session)] == [old.RUN]
        assert len(os.listdir(copies)) == 1
    assert os.listdir(copies) == []
    (tmp_path / "text.db").write_text("text" * 1000)
    with pytest.raises(NotAStoreError), reading_any(tmp_path / "text.db"):
        pass
    assert os.listdir(copies) == []


def test_commands_read_old_databases(tmp_path: Path, copies: Path, umlaut: Umlaut) -> None:
    path = old.make(tmp_path / "old.db", "meta name", old.rows("meta name"))
    shown = umlaut("runs", path)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert old.RUN[:8] in shown.stdout
    shown = umlaut("show", path, old.RUN[:8], "--json")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert json.loads(shown.stdout)["run"]["uuid"] == old.RUN
    for command in (["tag", path, "last", "x"], ["rm", path, "last", "-y"], ["vacuum", path]):
        shown = umlaut(*command)
        assert (shown.exit_code, shown.stdout) == (1, "")
        assert "umlaut import" in shown.stderr
    assert os.listdir(copies) == []


async def test_old_databases_stay_as_they_are(tmp_path: Path) -> None:
    path = old.make(tmp_path / "old.db", "json", old.rows("json"))
    with pytest.raises(OldDatabaseError, match="umlaut import"):
        await housekeeping.change_tags(path, [old.RUN], add=["x"])

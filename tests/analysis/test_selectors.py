"""What selects runs, and what is said where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.rows import BEGAN, run
from tests.support import check_message
from umlaut_async.analysis.selectors import NoRunError, SelectorError, baseline_tag, select, select_one
from umlaut_async.errors import ArgumentError, UmlautError
from umlaut_async.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Store


@pytest.fixture
def chosen(store: Store, database: Path) -> Callable[[str], list[str]]:
    """Return a function that gives the first letters of the uuids that a selector means, among six runs."""
    store(
        run("aaaa-1", started=BEGAN + 1, name="train.py", tags=["pr-12", "x,y"]),
        run("aabb-2", started=BEGAN + 2, name="train.py", tags=["pr-12", baseline_tag()]),
        run("bbbb-3", started=BEGAN + 3, name="a,b", tags=[baseline_tag("main")]),
        run("cccc-4", started=BEGAN + 4, name="dd", tags=["pr-1", baseline_tag("main")]),
        run("dddd-5", started=BEGAN + 5, name="last~1", tags=[]),
        run("eeee-6", started=BEGAN + 6, name="eeee", tags=["pr-12"]),
    )

    def choose(text: str) -> list[str]:
        with reading(database) as session:
            return [found.uuid[:4] for found in select(session, text)]

    return choose


@pytest.mark.parametrize(
    ("text", "uuids"),
    [
        ("last", ["eeee"]),
        ("last~0", ["eeee"]),
        ("last~5", ["aaaa"]),
        ("aabb-2", ["aabb"]),
        ("aab", ["aabb"]),
        ("train.py", ["aabb", "aaaa"]),
        ("train.py~1", ["aaaa"]),
        ("tag:pr-12", ["eeee", "aabb", "aaaa"]),
        ("tag:pr-12~2", ["aaaa"]),
        ("tag:pr-1", ["cccc"]),
        ("@baseline", ["aabb"]),
        ("@main", ["cccc", "bbbb"]),
        ("last, aaaa,last,tag:pr-12", ["eeee", "aaaa", "aabb"]),
        ("last~2,", ["cccc"]),
        ("a,b", ["bbbb"]),
        ("tag:x,y", ["aaaa"]),
        # The name of a run counts before what `~1` would mean.
        ("last~1", ["dddd"]),
        # A name that is the beginning of the same run's uuid says one thing only.
        ("eeee", ["eeee"]),
    ],
)
def test_a_selector(chosen: Callable[[str], list[str]], text: str, uuids: list[str]) -> None:
    assert chosen(text) == uuids


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("aa", SelectorError, r"^2 runs have a uuid that begins with 'aa': aabb-2, aaaa-1; pass more of it$"),
        ("dd", SelectorError, r"'dd' is the name of one run and the beginning of the uuid of dddd-5; pass more"),
        ("last~6", NoRunError, r"no run 'last~6': the database has only 6 runs, and ~0 is the newest$"),
        ("tag:pr-1~1", NoRunError, r"'tag:pr-1' means only one run"),
        ("zz", NoRunError, r"no run has the name 'zz' or a uuid that begins so; the newest are eeee-6, dddd-5, .*, …$"),
        ("zz~1", NoRunError, r"no run has the name 'zz'"),
        ("last,zz", NoRunError, r"no run has the name 'zz'"),
        ("a%", NoRunError, r"'a%'"),
        ("tag:", NoRunError, r"no run has the tag ''; there are the tags pr-12, pr-1, x,y$"),
        ("tag:baseline", NoRunError, r"no run has the tag 'baseline'"),
        (
            "@pr-12",
            NoRunError,
            r"`umlaut baseline DB RUN --name pr-12` makes one, there are the baselines @main",
        ),
        ("", SelectorError, r"'' names no run; pass last, last~2, the beginning of a uuid, a name, tag:x, @baseline"),
        (" , ", SelectorError, r"names no run"),
    ],
)
def test_a_selector_that_cannot_be(
    chosen: Callable[[str], list[str]], text: str, error: type[SelectorError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        chosen(text)
    assert type(raised.value) is error
    check_message(raised.value)


def test_one_run_is_one_run(chosen: Callable[[str], list[str]], database: Path) -> None:
    with reading(database) as session:
        assert select_one(session).uuid == "eeee-6"
        assert select_one(session, "@baseline").uuid == "aabb-2"
        with pytest.raises(SelectorError, match=r"^'train.py' means 2 runs: aabb-2, aaaa-1; pass one .* train.py~0"):
            select_one(session, "train.py")
        with pytest.raises(SelectorError, match=r"^'last,aaaa' means 2 runs: eeee-6, aaaa-1; pass one of them$"):
            select_one(session, "last,aaaa")


@pytest.mark.parametrize("text", ["last", "last~1", "abc", "tag:x", "@baseline"])
def test_a_database_without_runs(store: Store, database: Path, text: str) -> None:
    store()
    with reading(database) as session, pytest.raises(NoRunError, match=r"^this database has no runs yet$"):
        select(session, text)


def test_the_errors_are_those_of_wrong_arguments() -> None:
    assert issubclass(NoRunError, SelectorError)
    assert issubclass(SelectorError, ArgumentError)
    assert issubclass(SelectorError, UmlautError)

"""Which runs are meant: `last`, `last~2`, the beginning of a uuid, a name, `tag:x`, `@baseline`, or several."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select as sql_select

from umlaut_async.errors import ArgumentError
from umlaut_async.store import queries
from umlaut_async.store.models import Run
from umlaut_async.text import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from umlaut_async.store.queries import RunInfo

__all__ = ["BASELINE", "DEFAULT_BASELINE", "NoRunError", "SelectorError", "baseline_tag", "select", "select_one"]

DEFAULT_BASELINE = "baseline"
HELP = "last, last~2, the beginning of a uuid, a name, tag:x, @baseline, or several of these with commas"

_SHOWN = 5
_SHORT = 8
_BACK = re.compile(r"(?P<of>.+)~(?P<back>\d{1,9})", re.DOTALL)


class SelectorError(ArgumentError):
    """A selector that does not say which runs are meant."""


class NoRunError(SelectorError):
    """A selector for which there is no run."""


class _Known(NamedTuple):
    """What a selector may name a run by."""

    uuid: str
    name: str
    tags: list[str]


def baseline_tag(name: str = DEFAULT_BASELINE) -> str:
    """Return the tag of the runs that `@name` means."""
    return f"{BASELINE}{name.removeprefix('@')}"


def select(session: Session, text: str = "last") -> list[RunInfo]:
    """Return the runs that a selector means, none of them twice: in its order, and the newest first.

    `tag:x`, a name and `@baseline` mean all runs that have them, `~2` after one of these the third newest of them.

    Raises:
        NoRunError: There is none.
        SelectorError: It may mean several things.
    """
    known = _known(session)
    chosen = dict.fromkeys(uuid for part in _parts(known, text) for uuid in _part(known, part))
    found = {info.uuid: info for info in queries.runs(session, list(chosen))}
    return [found[uuid] for uuid in chosen if uuid in found]


def select_one(session: Session, text: str = "last") -> RunInfo:
    """Return the one run that a selector means.

    Raises:
        NoRunError: There is none.
        SelectorError: It may mean several things, or there are several.
    """
    found = select(session, text)
    if len(found) > 1:
        newest = f"; pass one of them, or {text}~0 for the newest" if "," not in text else "; pass one of them"
        raise SelectorError(f"{text!r} means {len(found)} runs: {_some([run.uuid for run in found])}{newest}")
    return found[0]


def _known(session: Session) -> list[_Known]:
    query = sql_select(Run.uuid, Run.name, Run.tags).order_by(Run.started.desc(), Run.uuid)
    return [_Known(uuid, name, tags or []) for uuid, name, tags in session.execute(query)]


def _parts(known: Sequence[_Known], text: str) -> list[str]:
    # A name or a tag may hold a comma itself.
    if any(text in (run.name, *(f"tag:{tag}" for tag in run.tags)) for run in known):
        return [text]
    parts = [stripped for part in text.split(",") if (stripped := part.strip())]
    if not parts:
        raise SelectorError(f"{text!r} names no run; pass {HELP}")
    return parts


def _part(known: Sequence[_Known], part: str) -> list[str]:
    """Return the uuids that one selector without commas means."""
    if not known:
        raise NoRunError("this database has no runs yet")
    if found := _named(known, part):
        return found
    if match := _BACK.fullmatch(part):
        back = int(match["back"])
        found = [run.uuid for run in known] if match["of"] == "last" else _named(known, match["of"])
        if not found:
            raise _none(known, match["of"])
        if back >= len(found):
            of = "the database has" if match["of"] == "last" else f"{match['of']!r} means"
            raise NoRunError(f"there is no run {part!r}: {of} only {_counted(len(found))}, and ~0 is the newest")
        return [found[back]]
    raise _none(known, part)


def _named(known: Sequence[_Known], part: str) -> list[str]:
    if part == "last":
        return [known[0].uuid]
    if part.startswith("tag:"):
        return [run.uuid for run in known if part.removeprefix("tag:") in run.tags]
    if part.startswith("@"):
        return [run.uuid for run in known if baseline_tag(part) in run.tags]
    if any(run.uuid == part for run in known):
        return [part]
    named = [run.uuid for run in known if run.name == part]
    begun = [run.uuid for run in known if part and run.uuid.startswith(part)]
    if named and set(begun) - set(named):
        raise SelectorError(
            f"{part!r} is the name of {_counted(len(named))} and the beginning of the uuid of {_some(begun)}; "
            "pass more of the uuid, or a tag"
        )
    if not named and len(begun) > 1:
        raise SelectorError(f"{len(begun)} runs have a uuid that begins with {part!r}: {_some(begun)}; pass more of it")
    return named or begun


def _none(known: Sequence[_Known], part: str) -> NoRunError:
    if part.startswith("tag:"):
        return NoRunError(f"no run has the tag {part.removeprefix('tag:')!r}; {_there_are('tags', _tags(known))}")
    if part.startswith("@"):
        name = part.removeprefix("@")
        option = "" if name == DEFAULT_BASELINE else f" --name {name}"
        there = _there_are("baselines", [f"@{tag.removeprefix(BASELINE)}" for tag in _tags(known, baselines=True)])
        return NoRunError(f"no run is the baseline {part!r}; `umlaut baseline DB RUN{option}` makes one, {there}")
    newest = _some([run.uuid for run in known])
    return NoRunError(f"no run has the name {part!r} or a uuid that begins so; the newest are {newest}")


def _tags(known: Sequence[_Known], baselines: bool = False) -> list[str]:
    return list(dict.fromkeys(tag for run in known for tag in run.tags if tag.startswith(BASELINE) is baselines))


def _there_are(what: str, names: list[str]) -> str:
    if not names:
        return f"there are no {what} yet"
    return f"there are the {what} {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"


def _counted(runs: int) -> str:
    return "one run" if runs == 1 else f"{runs} runs"


def _some(uuids: Sequence[str]) -> str:
    # So much of each that they differ.
    length = next((n for n in range(_SHORT, 40) if len({uuid[:n] for uuid in uuids}) == len(uuids)), None)
    return ", ".join(uuid[:length] for uuid in uuids[:_SHOWN]) + (", …" if len(uuids) > _SHOWN else "")

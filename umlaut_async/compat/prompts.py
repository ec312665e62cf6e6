"""Questions in the terminal for what was not given on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umlaut_async.cli.text import safe
from umlaut_async.compat.choosing import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.compat.choosing import Choice
    from umlaut_async.legacy.reading import RunMeta

__all__ = ["ask"]

_SHORT_UUID = 8


def ask(found: list[Choice], runs: Sequence[RunMeta], *, uuids: bool, types: bool, descriptions: bool) -> list[Choice]:
    """Ask which of the measurements are wanted, and return those.

    Args:
        found: What there is to choose from.
        runs: The runs, for what is shown of them.
        uuids: Whether to ask for the runs.
        types: Whether to ask for the types of measurement, in each run.
        descriptions: Whether to ask for the descriptions, of each type.

    Raises:
        KeyboardInterrupt: The user did not want to answer.
    """
    from questionary import Choice as Answer
    from questionary import Separator

    if uuids:
        left = {choice.uuid for choice in found}
        known = {run.uuid: _shown(run) for run in runs}
        # An old database may hold measurements of runs that it does not know.
        in_order = [uuid for uuid in [*known, *sorted(left - known.keys())] if uuid in left]
        wanted = _checked("Which runs?", [Answer(known.get(uuid, safe(uuid)), uuid) for uuid in in_order])
        found = [choice for choice in found if choice.uuid in wanted]
    if types:
        answers: list[Any] = []
        for uuid in dict.fromkeys(choice.uuid for choice in found):
            answers.append(Separator(f"In run {safe(uuid)}"))
            in_run = dict.fromkeys(choice.type for choice in found if choice.uuid == uuid)
            answers += [Answer(safe(name) or "(none)", (uuid, name)) for name in in_run]
        wanted = _checked("Which types of measurement?", answers)
        found = [choice for choice in found if (choice.uuid, choice.type) in wanted]
    if descriptions:
        answers = []
        for uuid, name in dict.fromkeys((choice.uuid, choice.type) for choice in found):
            answers.append(Separator(f"Of the type {safe(name)} in run {safe(uuid)}"))
            of_type = [choice for choice in found if (choice.uuid, choice.type) == (uuid, name)]
            texts = dict.fromkeys(described(choice.description) for choice in of_type)
            answers += [Answer(safe(text) or "(none)", (uuid, name, text)) for text in texts]
        wanted = _checked("Which descriptions?", answers)
        found = [choice for choice in found if (choice.uuid, choice.type, described(choice.description)) in wanted]
    return found


def _checked(question: str, answers: list[Any]) -> set[Any]:
    from questionary import checkbox

    answered = checkbox(
        question, answers, validate=lambda chosen: bool(chosen) or "Choose at least one with the space bar."
    ).unsafe_ask()
    return set(answered)


def _shown(run: RunMeta) -> str:
    parts = [safe(run.meta_name) or "a run"]
    if run.meta_start_time is not None:
        parts.append(f"from {run.meta_start_time:%Y-%m-%d %H:%M:%S}")
    description = f": {safe(run.meta_description)}" if run.meta_description else ""
    # The beginning of the uuid stands first: a long line is cut at the edge of the terminal.
    return f"{safe(run.uuid)[:_SHORT_UUID]} {' '.join(parts)}{description}"

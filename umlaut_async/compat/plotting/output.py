"""Where figures, text and CSV go: files, standard output, a window or a browser."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from umlaut_async.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from umlaut_async.compat.plotting.shapes import Read, Shape

__all__ = ["BACKENDS", "Target", "put"]

BACKENDS = ("matplotlib", "plotly", "text", "csv")
_LONGEST_NAME = 80


class Target(NamedTuple):
    """Where the output goes."""

    folder: Path | None
    """None: to standard output, a window or a browser."""
    stem: str
    """What the names of files begin with."""


def put(backend: str, read: Sequence[Read], target: Target) -> list[Path]:
    """Put measurements out, and return the files that were written.

    Args:
        backend: One of `BACKENDS`.
        read: The measurements.
        target: Where to.

    Raises:
        ArgumentError: A file cannot be written.
    """
    from umlaut_async.compat.plotting.shapes import shapes

    try:
        if target.folder is not None:
            target.folder.mkdir(parents=True, exist_ok=True)
        if backend == "csv":
            return _put_csv(read, target)
        drawn = shapes(read)
        if backend == "text":
            return _put_text(drawn, target)
        return (_put_matplotlib if backend == "matplotlib" else _put_plotly)(drawn, target)
    except BrokenPipeError:
        raise
    except OSError as error:
        where = error.filename or target.folder or "the working directory"
        raise ArgumentError(f"{where} cannot be written: {error.strerror or error}; choose another folder") from error


def _put_csv(read: Sequence[Read], target: Target) -> list[Path]:
    from umlaut_async.compat.plotting.comma_separated import write_csv

    if target.folder is None:
        write_csv(read, sys.stdout)
        return []
    path = target.folder / f"{target.stem}.csv"
    with _written(path) as file:
        write_csv(read, file)
    return [path]


def _put_text(drawn: Sequence[Shape], target: Target) -> list[Path]:
    from umlaut_async.compat.plotting.text import as_text

    if target.folder is None:
        width = os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None
        sys.stdout.write(as_text(drawn, width))
        return []
    path = target.folder / f"{target.stem}.txt"
    with _written(path) as file:
        file.write(as_text(drawn))
    return [path]


@contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    # A text of a database may hold what no encoding takes.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield file


def _put_plotly(drawn: Sequence[Shape], target: Target) -> list[Path]:
    from umlaut_async.compat.plotting.plotly_figures import figure

    if target.folder is None and _has_browser():
        for shape in drawn:
            figure(shape).show(renderer="browser")
        return []
    paths = _paths(drawn, target, ".html")
    for shape, path in zip(drawn, paths, strict=True):
        with _written(path) as file:
            file.write(figure(shape).to_html(include_plotlyjs=True))
    return paths


def _put_matplotlib(drawn: Sequence[Shape], target: Target) -> list[Path]:
    from umlaut_async.compat.plotting.matplotlib_figures import figure, without_warnings

    with without_warnings():
        if target.folder is None and _has_windows():
            from matplotlib import pyplot

            for shape in drawn:
                figure(shape, pyplot.figure)
            pyplot.show()
            return []
        paths = _paths(drawn, target, ".png")
        for shape, path in zip(drawn, paths, strict=True):
            figure(shape).savefig(path, dpi=120)
    return paths


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _has_browser() -> bool:
    import webbrowser

    try:
        # Without a display it would be a browser inside the terminal, in which no figure can be seen.
        return _has_display() and bool(webbrowser.get())
    except webbrowser.Error:
        return False


def _has_windows() -> bool:
    if not _has_display():
        return False
    from matplotlib import pyplot

    try:
        # The first figure decides which toolkit is used; without one it is a back end that writes files only.
        figure = pyplot.figure()
    except Exception:
        # Each toolkit fails in its own way where there is a display by name only.
        return False
    pyplot.close(figure)
    return getattr(figure.canvas, "required_interactive_framework", None) is not None


def _paths(drawn: Sequence[Shape], target: Target, suffix: str) -> list[Path]:
    folder = Path() if target.folder is None else target.folder
    paths: list[Path] = []
    for shape in drawn:
        name = f"{target.stem}-{_file_name(shape.measure_type)}"
        number = 1
        while (path := folder / f"{name}{'' if number == 1 else f'-{number}'}{suffix}") in paths:
            number += 1
        paths.append(path)
    return paths


def _file_name(text: str) -> str:
    # A type is any text of the database: it must not lead out of the folder.
    return re.sub(r"[^\w.-]+|\.(?=\.)", "-", text)[:_LONGEST_NAME].strip(".-") or "other"

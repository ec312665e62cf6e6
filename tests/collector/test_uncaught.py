"""A run that nobody closed is an error if an exception has ended the program, and not if one was only printed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.commands.test_on_a_terminal import talk
from tests.support import environment, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Row

BEGIN = """
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
work = BenchmarkSupervisor([TimeMetric("time")], Benchmark("runs.db"))(abs)
work(-1)
"""
RAISES = f"{BEGIN}\n1 / 0\n"
INTERACTS = "import code\ncode.interact(local={})\n"
CALLBACK = """
import tkinter
root = tkinter.Tk(useTk=False)
root.after(1, lambda: 1 / 0)
root.tk.dooneevent(0)
work(-2)
"""
THREAD = """
import threading
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
work(-2)
"""
OK = {"status": "ok", "ending": "exit"}
ENDED_BY_ZERO = {"status": "error", "ending": "exception: ZeroDivisionError"}


class Case(NamedTuple):
    """How a program is run."""

    arguments: tuple[str, ...]
    """Those of Python."""
    files: dict[str, str] = {}
    typed: str = ""
    environment: dict[str, str] = {}


ENDED = {
    "script": Case(("script.py",), {"script.py": RAISES}),
    "-c": Case(("-c", RAISES)),
    "-m": Case(("-m", "package"), {"package/__main__.py": RAISES, "package/__init__.py": ""}),
    "folder": Case(("package",), {"package/__main__.py": RAISES}),
    "profiled": Case(("-m", "cProfile", "-o", "profile", "script.py"), {"script.py": RAISES}),
    "standard input": Case(("-",), typed=RAISES),
    "PYTHONINSPECT without a terminal": Case(("script.py",), {"script.py": RAISES}, environment={"PYTHONINSPECT": "1"}),
    "in a function": Case(("-c", f"{BEGIN}\ndef fail():\n    1 / 0\nfail()")),
    "in a task": Case(("-c", f"{BEGIN}\nimport asyncio\nasync def fail():\n    1 / 0\nasyncio.run(fail())")),
    "excepthook": Case(("-c", f"import sys\nsys.excepthook = lambda *_: None\n{RAISES}")),
    "after a prompt": Case(("script.py",), {"script.py": f"{INTERACTS}{RAISES}"}, typed="undefined_name\n"),
    "IPython runs a script": Case(("-m", "IPython", "script.py"), {"script.py": RAISES}),
    "IPython runs a line": Case(("-m", "IPython", "-c", RAISES)),
}
WENT_ON = {
    "python -i": Case(("-i", "-q"), typed=f"{BEGIN}\n1 / 0\nwork(-2)\nexit()\n"),
    "python -i, mistyped": Case(("-i", "-q"), typed=f"{BEGIN}\nwork -2)\nwork(-2)\nexit()\n"),
    "python -i script": Case(("-i", "-q", "script.py"), {"script.py": RAISES}, typed="work(-2)\n"),
    "python -i -c": Case(("-i", "-q", "-c", RAISES), typed="work(-2)\nexit()\n"),
    "prompt in a script": Case(("-c", f"{BEGIN}{INTERACTS}\nwork(-2)"), typed="undefined_name\n"),
    "asyncio's prompt": Case(("-m", "asyncio"), typed=f"{BEGIN}\n1 / 0\nwork(-2)\nexit()\n"),
    "IPython": Case(("-m", "IPython"), typed=f"{BEGIN}\n1 / 0\nwork(-2)\nexit()\n"),
    "IPython -i": Case(("-m", "IPython", "-i", "script.py"), {"script.py": RAISES}, typed="work(-2)\nexit()\n"),
    "IPython within a script": Case(
        ("-c", f"{BEGIN}\nimport IPython\nIPython.embed()\nwork(-2)"), typed="undefined_name\nexit\n"
    ),
    "test": Case(
        ("-m", "pytest", "-p", "no:cacheprovider", "test_it.py"),
        {"test_it.py": f"{BEGIN}\ndef test_it(): 1 / 0\ndef test_again(): work(-2)"},
    ),
    "callback of Tk": Case(("-c", f"{BEGIN}{CALLBACK}")),
    "thread": Case(("-c", f"{BEGIN}{THREAD}")),
    "caught": Case(("-c", f"{BEGIN}\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    work(-2)")),
}


def run(folder: Path, case: Case) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder to its end."""
    for name, text in case.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return subprocess.run(
        [sys.executable, *case.arguments],
        cwd=folder,
        env=environment() | {"IPYTHONDIR": str(folder)} | case.environment,
        input=case.typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ending(folder: Path) -> Row:
    """Return how the run in a folder has ended, which must have two calls if the program went on."""
    [row] = read(folder / "runs.db", "select status, ending from run join process on run_uuid = uuid")
    return row


@pytest.mark.parametrize("case", ENDED.values(), ids=ENDED)
def test_an_exception_has_ended_the_program(tmp_path: Path, case: Case) -> None:
    ended = run(tmp_path, case)
    assert ended.returncode == 1, ended.stderr
    assert ending(tmp_path) == ENDED_BY_ZERO


@pytest.mark.parametrize("case", WENT_ON.values(), ids=WENT_ON)
def test_the_program_went_on_after_an_exception(tmp_path: Path, case: Case) -> None:
    ended = run(tmp_path, case)
    assert ("Error" in ended.stderr + ended.stdout) == ("except Zero" not in " ".join(case.arguments))
    # IPython has let go of what was typed before.
    assert ending(tmp_path) == (OK | {"ending": "dropped"} if "IPython" in case.arguments else OK)
    [calls] = read(tmp_path / "runs.db", "select count(*) from span")
    assert list(calls.values()) == [2]


def test_an_interrupt_has_ended_the_program(tmp_path: Path) -> None:
    assert run(tmp_path, Case(("-c", f"{BEGIN}\nraise KeyboardInterrupt"))).returncode != 0
    assert ending(tmp_path) == {"status": "error", "ending": "exception: KeyboardInterrupt"}


def test_with_which_code_a_program_exits_is_not_known(tmp_path: Path) -> None:
    assert run(tmp_path, Case(("-c", f"{BEGIN}\nraise SystemExit(3)"))).returncode == 3
    assert ending(tmp_path) == OK


def test_the_prompt_of_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # It is called after the end of the run, which was registered later.
    typed = f"import atexit\natexit.register(print, 'ended')\n{BEGIN}\n1 / 0\nprint('went on', work(-2))\n"
    greeting = 'Type "help", "copyright", "credits" or "license" for more information.'
    shown = talk([sys.executable], [(greeting, typed), ("went on 2", "exit()\n"), ("ended", "")])
    assert "ZeroDivisionError: division by zero" in shown
    assert ending(tmp_path) == OK


def test_the_hook_of_the_user_is_left_alone(tmp_path: Path) -> None:
    hook = (
        "import sys\ndef hook(*given): print(given[1] is sys.last_value, sys.excepthook is hook)\nsys.excepthook = hook"
    )
    ended = run(tmp_path, Case(("-c", f"{hook}\n{RAISES}")))
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "True True\n", "")


def test_an_earlier_cell_of_a_notebook(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(cell) for cell in (BEGIN, "undefined_name", "work(-2)")]
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(cells=cells), timeout=60, startup_timeout=60, kernel_name="python3",
        allow_errors=True, resources={"metadata": {"path": str(tmp_path)}},
    )  # fmt: skip
    client.execute(env=environment())
    assert ending(tmp_path) == OK

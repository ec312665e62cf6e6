"""What the package offers, what importing it costs, and that its modules keep to their layers and sizes."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import umlaut_async
from tests.support import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = ROOT / "umlaut_async"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.read_text().strip())
LINES = 500

NAMES = {
    "Benchmark", "BenchmarkSupervisor", "Metric", "TimeMetric", "LatencyMetric", "ThroughputMetric", "CPUMetric",
    "MemoryMetric", "IOMetric", "LossTracker", "TTATracker", "TimedTTATracker", "HyperparameterTracker",
    "ConfusionMatrixTracker", "AwaitMetric", "EventLoopLagMetric", "WaitMetric", "EnergyMetric", "PowerMetric",
    "GPUEnergyMetric", "GPUMemoryMetric", "GPUMetric", "GPUPowerMetric", "GPUTimeMetric",
}  # fmt: skip

HEAVY = (
    "sqlalchemy", "aiosqlite", "sqlite3", "msgspec", "json", "numpy", "pandas", "psutil", "pyRAPL", "pynvml", "click",
    "rich", "greenlet", "torch", "matplotlib",
)  # fmt: skip

LAYERS: dict[str, float] = {
    "cli": 7, "compat": 7,
    "__init__": 6, "models": 6, "__main__": 7,
    "arguments": 5, "benchmark": 5, "blocks": 5, "commands": 5, "copies": 5, "diagnosis": 5, "dropping": 5,
    "endings": 5, "notebooks": 5, "ordinals": 5, "sessions": 5, "stage": 5, "supervisor": 5, "trackers": 5,
    "waiting": 5,
    "collector": 4,
    "analysis": 3.75,  # reads the store, and old databases through legacy
    "legacy": 3.5,
    "store": 3,
    "metrics": 2, "probes": 2,
    "wrapping": 1, "iteration": 1, "iterators": 1, "kinds": 1, "callables": 1, "forwarding": 1,
    "calls": 1, "executors": 1, "plan": 1, "records": 1, "summary": 1,
    "errors": 0, "clock": 0, "garbage": 0, "gc_guard": 0, "originals": 0, "scalars": 0, "switch": 0, "text": 0,
}  # fmt: skip


def errors() -> set[str]:
    from umlaut_async import errors

    return {name for name, value in vars(errors).items() if inspect.isclass(value) and not name.startswith("_")}


def test_the_public_names_are_all_there_and_sorted() -> None:
    exported = umlaut_async.__all__
    assert list(exported) == sorted(exported)
    assert len(exported) == len(set(exported))
    assert set(exported) >= NAMES | errors()
    assert set(exported) - NAMES - errors() <= {"models", "__version__"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_says_what_it_is_for(name: str) -> None:
    value = getattr(umlaut_async, name)
    assert inspect.isclass(value)
    assert inspect.cleandoc(value.__doc__ or "").splitlines()[0].endswith(".")
    for method, function in inspect.getmembers(value, inspect.isfunction):
        assert method.startswith("_") or inspect.getdoc(function), f"{name}.{method} has no docstring"


def test_the_version_and_the_models_are_there() -> None:
    assert umlaut_async.__version__.count(".") == 2
    from umlaut_async import models

    assert {"Run", "Process", "Span", "Result", "Series", "Sample", "Chunk", "Event"} <= set(models.__all__)


def loaded_by(statement: str) -> set[str]:
    """Return the modules that are loaded after a statement in an interpreter of its own."""
    script = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment(), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return set(result.stdout.split())


def test_importing_loads_nothing_heavy() -> None:
    before = loaded_by("import asyncio, logging, typing, dataclasses, inspect")
    imported = loaded_by("import asyncio, logging, typing, dataclasses, inspect, umlaut_async") - before
    assert "umlaut_async" in imported
    assert {name.split(".")[0] for name in imported} & set(HEAVY) == set()


DECORATING = """
import umlaut_async as u
b = u.Benchmark({path!r}, collector={collector!r})
f = u.BenchmarkSupervisor([u.TimeMetric('t'), u.MemoryMetric('m')], b)(abs)
"""


def test_decorating_loads_nothing_heavy_where_another_process_collects(tmp_path: Path) -> None:
    before = loaded_by("import asyncio")
    imported = loaded_by(DECORATING.format(path=str(tmp_path / "runs.db"), collector="process")) - before
    assert {name.split(".")[0] for name in imported} & {"sqlalchemy", "numpy", "pandas", "pyRAPL", "pynvml"} == set()


CALLING = """
import sys, time
before = set(sys.modules)
f(-1)
time.sleep(1.5)
import asyncio
asyncio.run(b.flush())
late = {name for name in set(sys.modules) - before if name.partition(".")[0] in ("umlaut_async", "sqlalchemy")}
assert not late, late
"""


def test_a_collector_in_a_thread_has_all_that_it_needs_before_the_first_call(tmp_path: Path) -> None:
    """What is imported later, a stage would pay for."""
    program = DECORATING.format(path=str(tmp_path / "runs.db"), collector="thread") + CALLING
    assert "sqlalchemy" in loaded_by(program)
    assert {"numpy", "pandas", "pyRAPL", "pynvml"} & {name.split(".")[0] for name in loaded_by(program)} == set()


# Each in a process in which nothing of ours is imported but the packages around it, which always come first.
IMPORTING = """
import importlib, itertools, os, sys

def in_a_fork(work, *arguments):
    if not (child := os.fork()):
        work(*arguments)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        os._exit(1)

def import_each(package, names):
    importlib.import_module(package)
    for name in names:
        if name not in sys.modules:
            in_a_fork(importlib.import_module, name)

def package_of(name):
    return name.rpartition(".")[0] or name

for name in sys.argv[1:]:
    importlib.import_module(name)  # And with it what others have made, which is not to be imported each time.
for name in [name for name in sys.modules if name.partition(".")[0] == "umlaut_async"]:
    del sys.modules[name]
for package, names in itertools.groupby(sorted(sys.argv[1:], key=package_of), package_of):
    in_a_fork(import_each, package, names)
"""


def test_every_module_imports_on_its_own() -> None:
    names = [name_of(path).removesuffix(".__init__") for path in MODULES if path.name != "__main__.py"]
    result = subprocess.run(
        [sys.executable, "-c", IMPORTING, *names],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stderr, result.returncode) == ("", 0)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def layer(module: str) -> float:
    """Return the layer of a module of the package by its dotted name; the package itself is its `__init__`."""
    parts = module.split(".")
    return LAYERS[parts[1] if len(parts) > 1 else "__init__"]


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Give the line and the name of each module of the package that a module imports, at its top or in a function."""
    tree = ast.parse(path.read_text())
    package = name_of(path).split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source == "umlaut_async":
                for alias in node.names:
                    submodule = (PACKAGE / f"{alias.name}.py").exists() or (PACKAGE / alias.name).is_dir()
                    yield node.lineno, f"umlaut_async.{alias.name}" if submodule else "umlaut_async"
            elif is_ours(source):
                yield node.lineno, source


def is_ours(module: str) -> bool:
    return module.split(".")[0] == "umlaut_async"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_layers_below(path: Path) -> None:
    own = name_of(path)
    own_part = own.split(".")[1]
    above = [
        f"line {line}: {imported}"
        for line, imported in imports_of(path)
        if layer(imported) > layer(own) or (layer(imported) == layer(own) == 3 and imported.split(".")[1] != own_part)
    ]
    assert above == []


def test_the_layers_are_known_and_the_check_can_fail() -> None:
    assert {name_of(path).split(".")[1] for path in MODULES} <= set(LAYERS)
    (benchmark,) = [path for path in MODULES if path == PACKAGE / "benchmark.py"]
    assert {layer(imported) for _, imported in imports_of(benchmark)} & {0, 4}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_holds_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))

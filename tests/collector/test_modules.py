"""A collector process has its modules where the measured process has them, and none that this does not use."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT, read
from umlaut_async.collector import modules

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a collector process")

MEASURED = """
import asyncio, sys
from umlaut_async import Benchmark, BenchmarkSupervisor, TimeMetric
bm = Benchmark(sys.argv[1], collector="process")
work = BenchmarkSupervisor([TimeMetric("time")], bm)(abs)
work(-1)
asyncio.run(bm.close())
"""
BEGIN, _, CALL = MEASURED.partition("work(-1)")
NEEDED = ("aiosqlite", "greenlet", "msgspec", "psutil", "sqlalchemy", "typing_extensions")
POISON = "raise RuntimeError('a module of the user was imported in its place')\n"


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a Python in which nothing is installed."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True, with_pip=False)
    return str(folder / "bin" / "python")


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as `pip install --target` makes one, with this package and all that it needs."""
    folder = tmp_path_factory.mktemp("target")
    for name in ("umlaut_async", *NEEDED):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        if spec.submodule_search_locations is None:
            shutil.copy2(spec.origin, folder)
        else:
            shutil.copytree(os.path.dirname(spec.origin), folder / name)
    return folder


@pytest.fixture(scope="session")
def dependencies(target: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that the package needs, without the package."""
    folder = tmp_path_factory.mktemp("dependencies")
    for entry in target.iterdir():
        if entry.name != "umlaut_async":
            (folder / entry.name).symlink_to(entry)
    return folder


def check_measured(
    database: Path, command: Sequence[str | Path], folder: Path, mode: str = "process", **environment: str
) -> None:
    """Check that a program measures one call, by a collector where it is to be, without a warning."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ended = subprocess.run(
        [*map(str, command), str(database)], cwd=folder, env=variables | environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    [run] = read(database, "select status, collector from run")
    assert (run["status"], json.loads(run["collector"])["mode"]) == ("ok", mode)
    assert read(database, "select name from span") == [{"name": "abs"}]


def script(folder: Path, text: str) -> Path:
    """Write a script in a folder of its own."""
    (folder / "scripts").mkdir(exist_ok=True)
    path = folder / "scripts" / "script.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("flags", [[], ["-I"], ["-S"], ["-E", "-s"], ["-P"]], ids=str)
def test_a_folder_that_the_program_adds_to_its_path(
    tmp_path: Path, database: Path, bare_python: str, target: Path, flags: list[str]
) -> None:
    begin = f"import sys\nsys.path.insert(0, {str(target)!r})\n"
    check_measured(database, [bare_python, *flags, script(tmp_path, begin + MEASURED)], tmp_path)


@pytest.mark.parametrize("flag", ["-I", "-E"])
def test_what_the_program_ignores_the_collector_ignores(
    tmp_path: Path, database: Path, bare_python: str, target: Path, flag: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos._exit(3)\n")
    begin = f"import sys\nsys.path.insert(0, {str(target)!r})\n"
    command = [bare_python, flag, str(script(tmp_path, begin + MEASURED))]
    check_measured(database, command, tmp_path, PYTHONPATH=str(tmp_path))


def test_the_path_of_the_environment(tmp_path: Path, database: Path, bare_python: str, target: Path) -> None:
    check_measured(database, [bare_python, "-c", MEASURED], tmp_path, PYTHONPATH=str(target))


@pytest.mark.parametrize("when", ["before", "between"])
@pytest.mark.parametrize("how", ["environment", "path"])
def test_a_relative_path_and_another_working_directory(
    tmp_path: Path, database: Path, bare_python: str, target: Path, how: str, when: str
) -> None:
    (tmp_path / "lib").symlink_to(target)
    (tmp_path / "elsewhere").mkdir()
    change = "\nimport os; os.chdir('elsewhere')\n"
    begin = "" if how == "environment" else "import sys; sys.path.insert(0, 'lib')\n"
    imports, made, call = MEASURED.partition("bm =")
    text = f"{imports}{change}{made}{call}" if when == "before" else f"{BEGIN}{change}work(-1){CALL}"
    variables = {"PYTHONPATH": "lib"} if how == "environment" else {}
    check_measured(database, [bare_python, script(tmp_path, begin + text)], tmp_path, **variables)


def pack(archive: Path, target: Path, main: str = "") -> None:
    """Make an archive of the package, with a program."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("__main__.py", main)
        for file in (target / "umlaut_async").rglob("*.py"):
            packed.write(file, file.relative_to(target))


def elsewhere(path: str) -> str:
    """Return the program, with an entry at the end of its path, that works in another folder once all is imported."""
    imports, made, call = MEASURED.partition("bm =")
    change = "import os; os.makedirs('elsewhere'); os.chdir('elsewhere')\n"
    return f"import sys\nsys.path.append({path!r})\n{imports}{change}{made}{call}"


@pytest.mark.parametrize("place", ["absolute", "relative"])
def test_a_zip_application(
    tmp_path: Path, database: Path, bare_python: str, target: Path, dependencies: Path, place: str
) -> None:
    # What is compiled cannot be in an archive: such applications unpack it, and add its folder.
    application = tmp_path / "app.pyz"
    pack(application, target, elsewhere(str(dependencies)))
    check_measured(database, [bare_python, application if place == "absolute" else application.name], tmp_path)


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_an_archive_in_a_folder_that_the_program_leaves(
    tmp_path: Path, database: Path, bare_python: str, target: Path, dependencies: Path, mode: str
) -> None:
    pack(tmp_path / "package.zip", target)
    text = "import sys\nsys.path.insert(0, 'package.zip')\n" + elsewhere(str(dependencies))
    text = text.replace('collector="process"', f"collector={mode!r}")
    check_measured(database, [bare_python, script(tmp_path, text)], tmp_path, mode)


def test_a_finder_of_an_editable_installation(
    tmp_path: Path, database: Path, bare_python: str, dependencies: Path
) -> None:
    # Some of them lead to a folder of another name.
    (tmp_path / "source").symlink_to(ROOT / "umlaut_async")
    finder = f"""
import sys
from importlib.util import spec_from_file_location
sys.path.append({str(dependencies)!r})
class Finder:
    def find_spec(name, path=None, target=None):
        if name == "umlaut_async":
            folder = {str(tmp_path / "source")!r}
            return spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
sys.meta_path.append(Finder)
"""
    check_measured(database, [bare_python, script(tmp_path, finder + MEASURED)], tmp_path)


def test_a_folder_of_the_user_takes_the_place_of_nothing(
    tmp_path: Path, database: Path, bare_python: str, target: Path
) -> None:
    users = tmp_path / "users"
    users.mkdir()
    for name in ("logging", "json", "asyncio", "msgspec", "sqlalchemy", "psutil", "greenlet", "sitecustomize"):
        (users / f"{name}.py").write_text(POISON)
    change = f"import os, sys\nsys.path.append({str(users)!r})\nos.environ['PYTHONPATH'] = {str(users)!r}\n"
    begin = f"import sys\nsys.path.insert(0, {str(target)!r})\n"
    change += f"os.chdir({str(users)!r})\n"
    imports, made, call = MEASURED.partition("bm =")
    check_measured(database, [bare_python, script(tmp_path, f"{begin}{imports}{change}{made}{call}")], tmp_path)


def test_modules_beside_the_package_take_the_place_of_nothing(
    tmp_path: Path, database: Path, bare_python: str, target: Path, dependencies: Path
) -> None:
    # The package in the folder of the program, with a module that has the name of one that others try to import.
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "umlaut_async").symlink_to(target / "umlaut_async")
    for name in ("xxlimited", "attr"):
        (tmp_path / "scripts" / f"{name}.py").write_text(POISON)
    begin = f"import sys\nsys.path.append({str(dependencies)!r})\n"
    check_measured(database, [bare_python, script(tmp_path, begin + MEASURED)], tmp_path)


def test_where_they_are_is_where_they_were_imported_from() -> None:
    found = modules.places()
    assert found.keys() >= {"umlaut_async", *NEEDED}
    for name, place in found.items():
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert (place.file, place.folders) == (spec.origin, spec.submodule_search_locations)
        assert Path(place.file).is_relative_to(place.entry)


def test_python_itself_is_where_the_environment_says(
    tmp_path: Path, database: Path, bare_python: str, target: Path
) -> None:
    begin = f"import sys\nsys.path.insert(0, {str(target)!r})\n"
    check_measured(database, [bare_python, script(tmp_path, begin + MEASURED)], tmp_path, PYTHONHOME=sys.base_prefix)


def test_it_reads_and_writes_files_as_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", "/somewhere")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    options = modules.options()
    assert {f"utf8={sys.flags.utf8_mode}", "-B", "pycache_prefix=/somewhere"} <= set(options)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert len(modules.options()) == len(options) - 3


def test_a_finder_that_fails_and_a_module_that_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            raise RuntimeError(name)

    monkeypatch.setattr(sys, "meta_path", [Fails, *sys.meta_path])
    monkeypatch.setitem(sys.modules, "aiosqlite", type(sys)("aiosqlite"))
    found = modules.places()
    assert "aiosqlite" not in found
    assert "umlaut_async" in found


def test_a_frozen_program_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from umlaut_async.collector import unseen

    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(OSError, match="part of another program"):
        unseen.run_python("", 0, options=[])

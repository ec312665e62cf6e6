"""Where this process has the modules that a collector needs, for one in a process of its own that is to have the same.

That process looks in the places of its Python alone, and for these modules exactly where they are here. So it finds
them if `sys.path` was extended at run time, and no file of the user's takes the place of a module of Python's.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

PACKAGE = __name__.partition(".")[0]
_NEEDED = (
    PACKAGE, "aiosqlite", "greenlet", "msgspec", "psutil", "pyRAPL", "pynvml", "sqlalchemy", "typing_extensions",
    # The drivers of servers, with what is their other half.
    "aiomysql", "asyncmy", "asyncpg", "psycopg", "psycopg_binary", "psycopg_c", "pymysql",
)  # fmt: skip

FIND = """
import json
from importlib.machinery import PathFinder
from importlib.util import spec_from_file_location

class Found:
    places = json.loads(sys.argv[2])

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if path is not None or name not in cls.places:
            return None
        file, folders, entry = cls.places[name]
        if not os.path.isfile(file):
            return PathFinder.find_spec(name, [entry])
        if folders is None:
            return spec_from_file_location(name, file)
        return spec_from_file_location(name, file, submodule_search_locations=folders)

sys.meta_path.insert(0, Found)
# What else they need is beside them. Not beside this package: that may be a folder of the user's.
beside = [entry for name, (file, folders, entry) in Found.places.items() if name != sys.argv[3]]
sys.path.extend(entry for entry in dict.fromkeys(beside) if entry not in sys.path)
"""
"""The program by which another Python finds them; it has `os` and `sys`, and as arguments what `places` returns, as
JSON, and the name of this package."""


def working_directory() -> str | None:
    """Return the working directory; None where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


_FIRST = working_directory() or os.sep
"""The working directory when this package was imported. What is relative in `sys.path` was so to it."""


class Place(NamedTuple):
    """Where a module is."""

    file: str
    """Its own file, or that of the package; of one in an archive there is no such file."""
    folders: list[str] | None
    """Where the modules of a package are."""
    entry: str
    """The folder or the archive in which it is found by its name."""


def places() -> dict[str, Place]:
    """Return where this process has the modules that a collector needs, or would find them."""
    found = {name: _place(name) for name in _NEEDED}
    return {name: place for name, place in found.items() if place is not None}


def _place(name: str) -> Place | None:
    spec = _spec(name)
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    file = _absolute(spec.origin)
    folders = spec.submodule_search_locations
    entry = os.path.dirname(file) if folders is None else os.path.dirname(os.path.dirname(file))
    return Place(file, None if folders is None else list(map(_absolute, folders)), entry)


def _spec(name: str) -> ModuleSpec | None:
    known: Any = getattr(sys.modules.get(name), "__spec__", None)
    if known is not None:
        return known  # type: ignore[no-any-return]  # as everybody takes it to be
    # Here, so that the import of the package does not wait for it.
    from importlib.util import find_spec

    with suppress(Exception):  # The finders may be anybody's.
        return find_spec(name)
    return None


def _absolute(path: str) -> str:
    if os.path.isabs(path):
        return path
    # Of an archive only the beginning of the path exists.
    first = os.path.join(_FIRST, path)
    top = os.path.join(_FIRST, path.partition(os.sep)[0])
    return first if os.path.exists(top) else os.path.join(working_directory() or _FIRST, path)


def options() -> list[str]:
    """Return the options of a Python that heeds of its environment, and writes and decodes files, as this one does."""
    flags = {"-I": sys.flags.isolated, "-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site}
    chosen = ["-P", *(option for option, is_set in flags.items() if is_set), "-X", f"utf8={sys.flags.utf8_mode}"]
    if sys.dont_write_bytecode:
        chosen.append("-B")
    if sys.pycache_prefix is not None:
        chosen += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    return chosen

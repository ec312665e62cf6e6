"""Pickles of plain data, read without running anything that they name.

UMLAUT stored pickles until 2024. Nothing is ever looked up by a name that stands in one: the few names that plain data
needs have stand-ins here, and arrays of numpy become lists without numpy.
"""

from __future__ import annotations

import datetime
import io
import math
import pickle
import pickletools
import re
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RefusedError", "load"]

# What a value may come to, however often a pickle repeats one part of itself: nodes for each byte, and for small ones.
_NODES_PER_BYTE = 64
_NODES = 1_000_000
_MOST_DIMENSIONS = 32
_LETTERS = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip
_TEXT = re.compile(r"U(\d{1,6})")
_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


class RefusedError(Exception):
    """A pickle holds something else than plain data, or is damaged."""


def load(pickled: bytes) -> Any:
    """Return the plain data of a pickle: numbers, texts, None, lists, dicts; sets and arrays as lists, times as texts.

    Raises:
        RefusedError: It is damaged, or holds anything else.
    """
    try:
        _check_memo(pickled)
        unpickler = _Unpickler(io.BytesIO(pickled))
        return _Walk(_NODES + _NODES_PER_BYTE * len(pickled)).plain(unpickler.load())
    except RefusedError:
        raise
    except RecursionError:
        raise RefusedError("it is nested too deeply") from None
    except Exception as error:
        # A damaged pickle makes its machine raise nearly anything.
        raise RefusedError(f"it is damaged ({type(error).__name__})") from error


def _check_memo(pickled: bytes) -> None:
    # For a slot of a high number the machine would reserve all the slots below it.
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in _MEMO and not (isinstance(argument, int) and 0 <= argument <= len(pickled)):
            raise RefusedError("it is damaged (a slot that is out of range)")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins"), name))
        if known is None:
            raise RefusedError(f"it names {module}.{name}, which is no plain data")
        return _Named(known)

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError("it refers to something outside of it")


class _Named:
    """What a name in a pickle stands for: it can be called, and not be changed."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise RefusedError("it changes what it names")


class _Kind:
    """The kind of the elements of an array, such as "f8"."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(code, str) or (code not in _LETTERS and not _TEXT.fullmatch(code)):
            raise RefusedError(f"it holds an array of the kind {str(code)[:20]!r}, which is not plain")
        self._code = code
        self._order = "<"

    def __setstate__(self, state: Any) -> None:
        order, inner = state[1], state[2:5]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in inner):
            raise RefusedError("it holds an array of a compound kind")
        self._order = ">" if order == ">" else "<"

    def values(self, raw: Any) -> list[Any]:
        """Return the elements whose bytes these are."""
        raw = bytes(raw)
        if text := _TEXT.fullmatch(self._code):
            size = 4 * int(text[1])
            if not size:
                raise RefusedError("it holds an array of empty texts")
            codec = "utf-32-be" if self._order == ">" else "utf-32-le"
            return [raw[at : at + size].decode(codec).rstrip("\0") for at in range(0, len(raw), size)]
        letter = _LETTERS[self._code]
        return list(struct.unpack(f"{self._order}{len(raw) // struct.calcsize(f'<{letter}')}{letter}", raw))


class _Array:
    """An array, as nested lists."""

    __slots__ = ("values",)

    def __init__(self, *arguments: object) -> None:
        self.values: Any = []

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, raw = state
        self.values = _nested(shape, kind, bool(fortran), raw)


def _nested(shape: Any, kind: Any, fortran: bool, raw: Any) -> Any:
    if not isinstance(kind, _Kind) or not isinstance(raw, (bytes, bytearray)):
        raise RefusedError("it holds an array of Python objects")
    if isinstance(shape, int):
        shape = (shape,)
    if len(shape) > _MOST_DIMENSIONS or not all(isinstance(length, int) and length >= 0 for length in shape):
        raise RefusedError("it holds an array of an impossible shape")
    flat = kind.values(raw)
    if sum(math.prod(shape[: axis + 1]) for axis in range(len(shape))) > _NODES + _MOST_DIMENSIONS * len(flat):
        raise RefusedError("it holds an array of an impossible shape")
    steps, step = [0] * len(shape), 1
    for axis in range(len(shape)) if fortran else reversed(range(len(shape))):
        steps[axis], step = step, step * shape[axis]
    if step != len(flat):
        raise RefusedError("it holds an array whose shape does not fit its data")

    def build(axis: int, start: int) -> Any:
        if axis == len(shape):
            return flat[start]
        return [build(axis + 1, start + index * steps[axis]) for index in range(shape[axis])]

    return build(0, 0)


def _from_buffer(raw: Any, kind: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.values = _nested(shape, kind, order == "F", raw)
    return array


def _scalar(kind: Any, raw: Any) -> Any:
    if not isinstance(kind, _Kind):
        raise RefusedError("it holds a scalar of Python objects")
    (value,) = kind.values(raw)
    return value


def _empty() -> bytes:
    return b""


def _mutable_bytes(raw: Any = b"", codec: Any = "latin1") -> bytes:
    # Never by a number, which would be the length of what is reserved.
    return _latin(raw, codec) if isinstance(raw, str) else bytes(memoryview(raw))


def _latin(text: Any, codec: Any) -> bytes:
    # How old protocols write bytes; the codec is not looked up.
    if not isinstance(text, str) or codec != "latin1":
        raise RefusedError("it holds bytes that are encoded in an unknown way")
    return text.encode("latin-1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytes"): _empty,
    ("builtins", "bytearray"): _mutable_bytes,
    ("collections", "OrderedDict"): dict,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "date"): datetime.date,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _latin,
}


class _Walk:
    """Makes plain data of what the machine has built, and ends where that is endless."""

    def __init__(self, nodes: int) -> None:
        self._left = nodes

    def plain(self, value: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise RefusedError("it repeats itself without end")
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, _Array):
            return value.values
        if type(value) is dict:
            return {self._name(name): self.plain(item) for name, item in value.items()}
        if type(value) in (list, tuple, set, frozenset):
            return [self.plain(item) for item in value]
        if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
            return str(value)
        raise RefusedError(f"it holds a {type(value).__name__}, which is no plain data")

    def _name(self, name: Any) -> str:
        return str(self.plain(name)) if name is None or not isinstance(name, str) else name

"""Pickles that would do harm if they were loaded as pickles are."""

from __future__ import annotations

import datetime
import os
import pickle
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class _Calls:
    def __init__(self, function: Callable[..., object], *arguments: object, state: object = None) -> None:
        self._parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self._parts


def hostile(trace: Path) -> dict[str, bytes]:
    """Return pickles that leave a file behind, exhaust the memory or change what they name, if they can."""
    command = f"touch {trace}"
    made = {
        "system": _Calls(os.system, command),
        "popen": _Calls(subprocess.check_call, ["touch", str(trace)]),
        "eval": _Calls(eval, f"open({str(trace)!r}, 'w')"),
        "in a list": [1.0, _Calls(os.system, command)],
        "as a key": {("a", 1): 2, "b": _Calls(open, str(trace), "w")},
        "in an array": np.array([_Calls(os.system, command)], dtype=object),
        "getattr": _Calls(getattr, datetime.datetime, "now"),
        "state of a type": _Calls(datetime.timedelta, 1, state=(None, {"total_seconds": 1})),
        "many bytes": _Calls(bytearray, 10**12),
        "more bytes": _Calls(bytes, 10**12),
        "numpy load": _Calls(np.load, str(trace)),
        "numpy loader": _Calls(np.frombuffer, b"12345678"),
    }
    pickled = {
        f"{name} ({protocol})": pickle.dumps(each, protocol) for name, each in made.items() for protocol in (0, 2, 4, 5)
    }
    laughs: Any = ["ha"]
    for _ in range(40):
        laughs = [laughs, laughs]
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    pickled |= {
        "the name of a function": b"cos\nsystem\n.",
        "the name of what is known": b"cnumpy\ndtype\n.",
        "a dotted name": b"\x80\x04\x8c\x08datetime\x8c\x12datetime.__class__\x93.",
        "an old instance": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "an object": b"(cos\nsystem\nS'x'\no.",
        "an extension": b"\x82\x01.",
        "something persistent": b"Pid\n.",
        "a slot of a high number": b"]r\xff\xff\xff\x7f.",
        "a state for what is known": b"cnumpy\ndtype\n(S'__call__'\nNd(S'a'\nNdb.",
        "laughs": pickle.dumps(laughs),
        "an impossible shape": pickle.dumps(np.zeros((3, 5), np.uint8)).replace(b"K\x03K\x05", b"K\xffK\xff"),
        "no end": pickle.dumps(1.5)[:-2],
        "no pickle": b"\x00\xff\x00",
        "nothing": b"",
        "bytes": pickle.dumps(b"bytes"),
        "a complex number": pickle.dumps(1j),
    }
    return pickled

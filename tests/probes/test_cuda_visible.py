"""The forms of `CUDA_VISIBLE_DEVICES`."""

from __future__ import annotations

import pytest

from umlaut_async.probes.cuda_visible import visible_entries


@pytest.mark.parametrize(
    ("variable", "entries"),
    [
        ("0", [0]),
        ("2,0", [2, 0]),
        (" 1 , 0 ", [1, 0]),
        ("+1", [1]),
        ("1gpu2,2ampere", [1, 2]),
        ("", []),
        ("-1", []),
        ("0,-1,1", [0]),
        ("0,,1", [0]),
        ("void", []),
        ("none", []),
        ("0,0", []),
        ("0,1,0", []),
        ("1,01", []),
        ("GPU-8932f937", ["GPU-8932f937"]),
        ("GPU-a,GPU-b", ["GPU-a", "GPU-b"]),
        ("GPU-a,GPU-a", []),
        ("GPU-a,1,GPU-b", ["GPU-a"]),
        ("0,GPU-a", [0]),
        ("MIG-a,MIG-b", ["MIG-a", "MIG-b"]),
        ("MIG-GPU-a/1/0", ["MIG-GPU-a/1/0"]),
        ("MIG-a,GPU-b", ["MIG-a"]),
        ("²", []),
    ],
)
def test_entries_are_read_as_cuda_reads_them(variable: str, entries: list[int | str]) -> None:
    assert visible_entries(variable) == entries

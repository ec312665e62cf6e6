"""User values as JSON text and back."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from umlaut_async.errors import ArgumentError, ArgumentTypeError, CorruptStoreError
from umlaut_async.store.values import decode, encode, plain

NAMES = {"NaN", "Infinity", "-Infinity"}
text = st.text(st.characters(codec=None, categories=None)).filter(lambda value: value not in NAMES)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
data = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=30)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (one == other and math.copysign(1, one) == math.copysign(1, other)) or (
            math.isnan(one) and math.isnan(other)
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    return type(one) is type(other) and bool(one == other)


@given(data)
@example(math.nan)
@example([math.inf, {"x": -math.inf}])
@example("\ud800 lone")
@example(2**100)
def test_plain_data_comes_back(value: Any) -> None:
    stored = encode(value)
    assert same(decode(stored), value)
    stored.encode("ascii")
    json.loads(stored, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert same(plain(plain(value)), plain(value))


@given(st.lists(st.floats() | st.integers(-100, 100)))
def test_sequences_come_back_as_lists(value: list[float]) -> None:
    assert same(decode(encode(tuple(value))), value)


def test_other_kinds_of_data() -> None:
    assert decode(encode(range(3))) == [0, 1, 2]
    assert decode(encode({1: "a", None: "b", 2.5: "c"})) == {"1": "a", "None": "b", "2.5": "c"}
    assert decode(encode(OrderedDict(b=1, a=2))) == {"b": 1, "a": 2}
    assert sorted(decode(encode({3, 1, 2}))) == [1, 2, 3]


def test_ten_megabytes_of_text() -> None:
    value = "ä" * 10_000_000
    assert decode(encode(value)) == value


@pytest.mark.parametrize("value", [object(), b"bytes", 1j, lambda: 1, {"a": [object()]}, iter([1])])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(ArgumentTypeError, match="cannot be stored"):
        encode(value)


def test_a_number_of_too_many_digits_is_refused() -> None:
    with pytest.raises(ArgumentError, match="cannot be stored"):
        encode([10**5000])


def test_what_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append({"inside": value})
    with pytest.raises(ArgumentTypeError, match="cannot be stored"):
        encode(value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "nul", '{"a": }'])
def test_text_that_was_not_written_by_encode_is_called_damaged(text: str) -> None:
    with pytest.raises(CorruptStoreError, match="damaged"):
        decode(text)


def test_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    assert same(decode(encode(numpy.float64("nan"))), math.nan)
    assert same(decode(encode(numpy.float32(0.5))), 0.5)
    assert same(decode(encode(numpy.int64(2**62))), 2**62)
    assert same(decode(encode(numpy.bool_(True))), True)
    assert same(decode(encode(numpy.array(3))), 3)
    assert same(decode(encode(numpy.array([[1.5, numpy.inf], [numpy.nan, -0.0]]))), [[1.5, math.inf], [math.nan, -0.0]])
    assert same(
        decode(encode({"loss": [numpy.float32(0.25)], numpy.int64(3): numpy.str_("x")})), {"loss": [0.25], "3": "x"}
    )
    assert same(decode(encode(numpy.longdouble(0.5))), 0.5)
    with pytest.raises(ArgumentTypeError):
        encode(numpy.array([object()]))


@pytest.mark.parametrize("value", [Fraction(10**400), [1, Fraction(-(10**400))]])
def test_a_number_that_is_too_large_for_a_float_is_an_argument_error(value: Any) -> None:
    with pytest.raises(ArgumentError, match="too large"):
        plain(value)
    assert plain(Fraction(1, 2)) == 0.5

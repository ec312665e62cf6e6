"""Numbers, times and stored texts as a person reads them."""

from __future__ import annotations

import math
import unicodedata
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umlaut_async.cli.text import LONGEST, duration, moment, number, quantity, safe


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),  # noqa: RUF001
        (0, "0"),
        (0.0, "0"),
        (0.98765, "0.988"),
        (0.001, "0.001"),
        (12.34567, "12.3"),
        (123.456, "123"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (1e6, "1,000,000"),
        (-0.5, "-0.5"),
        (1e-9, "1.00e-09"),
        (1e15, "1.00e+15"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (-(10**400), "-1e+400"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),  # noqa: RUF001
        (0, "0 ns"),
        (85e-9, "85 ns"),
        (85e-6, "85 µs"),
        (0.01234, "12.3 ms"),
        (0.9999, "1 s"),
        (1.5, "1.5 s"),
        (59.99, "1 min 0 s"),
        (61.2, "1 min 1 s"),
        (3599.6, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (-1.5, "-1.5 s"),
        (1e10, "10,000,000,000 s"),
        (math.inf, "inf s"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.25, "sec", "250 ms"),
        (0.0025, "Seconds/entry", "2.5 ms/entry"),
        (93.456, "%", "93.5 %"),
        (1843.2, "MiB", "1,843 MiB"),
        (3, "", "3"),
        (None, "MiB", "–"),  # noqa: RUF001
        (3, "\x1b[31mred", "3 red"),
    ],
)
def test_quantities(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_moments_are_local() -> None:
    text = moment(1_700_000_000_123_456_789)
    assert datetime.strptime(text, "%Y-%m-%d %H:%M:%S").timestamp() == 1_700_000_000


@pytest.mark.parametrize("nanoseconds", [2**63 - 1, -(2**63), 10**40])
def test_moments_that_no_calendar_has(nanoseconds: int) -> None:
    assert moment(nanoseconds)


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("plain", "plain"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;file:///etc/passwd\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\text", "text"),
        ("\x1bc", "c"),
        ("a\rb\x08c\x7f\x00", "abc"),
        ("abc\u202etxt.exe", "abctxt.exe"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("Umlaute: äöü, 数字", "Umlaute: äöü, 数字"),
        ("[bold]markup[/bold]", "[bold]markup[/bold]"),
        (b"bytes", "b'bytes'"),
    ],
)
def test_stored_texts(stored: object, text: str) -> None:
    assert safe(stored) == text


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert safe("x" * 10_000_000) == "x" * (LONGEST - 1) + "…"
    assert safe("x" * LONGEST) == "x" * LONGEST


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_can_command_a_terminal(stored: str) -> None:
    text = safe(stored)
    assert not [character for character in text if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")]
    assert len(text) <= LONGEST
    text.encode()


@given(st.floats() | st.integers())
def test_every_number_has_a_short_text(value: float) -> None:
    assert len(number(value)) <= len("-999,999,999,999")
    assert len(duration(value)) <= len("-999,999,999,999 s")

"""What the unpickler admits, and what it refuses."""

from __future__ import annotations

import collections
import contextlib
import datetime
import logging
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.legacy import old_databases as old
from tests.legacy.hostile_pickles import hostile
from umlaut_async.legacy import unpickling
from umlaut_async.legacy.reading import read
from umlaut_async.legacy.unpickling import RefusedError, load
from umlaut_async.legacy.views import connect

if TYPE_CHECKING:
    from pathlib import Path

    from tests import support

PROTOCOLS = (0, 1, 2, 3, 4, 5)
MOMENT = datetime.datetime(2021, 5, 4, 12, 30, 15, 250_001)
ARRAYS = [
    np.array([[1.5, np.inf], [-2.0, 0.0]]),
    np.array([[1, 2, 3], [4, 5, 6]], order="F"),
    np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    np.array([True, False]),
    np.array(["cat", "größer", ""]),
    np.array(5.5),
    np.array([], dtype=np.float32),
    np.zeros((2, 0)),
    np.array([1, 2], dtype=">i4"),
    np.array([0.5], dtype=np.float16),
    np.array([2**64 - 1], dtype=np.uint64),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data(protocol: int) -> None:
    value = {"a": [1, 2.5, None, True, "ö", 2**80], "b": {"c": (1, 2)}, 3: collections.OrderedDict(d=frozenset([4]))}
    shown = {"a": [1, 2.5, None, True, "ö", 2**80], "b": {"c": [1, 2]}, "3": {"d": [4]}}
    assert load(pickle.dumps(value, protocol)) == shown


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_times(protocol: int) -> None:
    value = [MOMENT, MOMENT.date(), MOMENT.replace(tzinfo=datetime.UTC), datetime.timedelta(seconds=90)]
    assert load(pickle.dumps(value, protocol)) == [str(each) for each in value]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays(protocol: int, array: Any) -> None:
    pickled = pickle.dumps({"array": array, "last": array.ravel()[-1:]}, protocol)
    for module in (b"numpy._core", b"numpy.core"):
        # As older versions of numpy name it; where the length of the name is told, it is one more.
        if protocol < 4 or module == b"numpy._core":
            assert load(pickled.replace(b"numpy._core", module))["array"] == array.tolist()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scalars(protocol: int) -> None:
    value = [np.float64(1.5), np.int64(-3), np.bool_(True), np.float32(0.25), np.str_("cat"), np.uint8(200)]
    assert load(pickle.dumps(value, protocol)) == [1.5, -3, True, 0.25, "cat", 200]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(PLAIN, st.sampled_from(PROTOCOLS))
@settings(max_examples=60, deadline=None)
def test_any_plain_data(value: Any, protocol: int) -> None:
    assert load(pickle.dumps(value, protocol)) == value


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: pickle.dumps(ARRAYS[0])[:-60] + tail))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_plain_data_or_refused(pickled: bytes) -> None:
    with contextlib.suppress(RefusedError):
        load(pickled)


def test_nothing_hostile_is_loaded(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for name, pickled in hostile(trace).items():
        with pytest.raises(RefusedError):
            pytest.fail(f"{name} was loaded as {str(load(pickled))[:80]}")
        assert not trace.exists(), name
    assert load(pickle.dumps(np.array([1.5]))) == [1.5]


def test_a_slot_of_a_high_number_reserves_no_memory() -> None:
    with pytest.raises(RefusedError, match="a slot that is out of range"):
        load(b"]r\xff\xff\xff\x07.")


def test_what_a_pickle_names_cannot_be_changed() -> None:
    with pytest.raises(RefusedError, match="it changes what it names"):
        load(b"cnumpy.core.multiarray\nscalar\n(N(dS'note'\nI1\nstb.")
    assert not hasattr(unpickling._scalar, "note")


def test_the_hostile_pickles_do_harm(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    pickle.loads(hostile(trace)["system (4)"])
    assert trace.exists()


def test_a_malicious_pickle_in_every_blob(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trace = tmp_path / "trace"
    pickles = hostile(trace)
    bad = [old.Row(type_, each) for type_ in old.TYPES for name, each in pickles.items() if name != "laughs"]
    bad.append(old.Row("loss", pickles["laughs"]))
    rows = [*bad, old.Row("loss", old.stored("pickled", "loss", [1.5])), *old.rows("pickled")]
    path = old.make(tmp_path / "old.db", "pickled", rows)
    found = list(read(path))
    assert not trace.exists()
    assert [each.measurement_data for each in found[: len(bad)]] == [None] * len(bad)
    assert found[len(bad)].measurement_data == [1.5]
    assert all(each.measurement_data is not None for each in found[len(bad) :])
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == len(bad)
    for each, message in zip(found, warned, strict=False):
        assert message.startswith(f"measurement {each.id} of {path} cannot be read: ")


def test_one_warning_for_a_connection(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = old.make(tmp_path / "old.db", "pickled", [old.Row("loss", b"cos\nsystem\n.")])
    connection = connect(path)
    for _ in range(3):
        assert connection.execute("SELECT measurement_data FROM measurement").fetchall() == [(None,)]
    connection.close()
    (record,) = caplog.records
    assert "measurement 1 of" in record.getMessage()
    assert "os.system" in record.getMessage()


def test_without_numpy(tmp_path: Path, run_script: support.RunScript) -> None:
    path = old.make(tmp_path / "old.db", "pickled", old.rows("pickled"))
    ended = run_script(
        "import sys\n"
        "sys.modules['numpy'] = None\n"
        "from umlaut_async.legacy.reading import read\n"
        "assert all(each.measurement_data is not None for each in read(sys.argv[1]))\n",
        path,
    )
    assert (ended.stderr, ended.returncode) == ("", 0)

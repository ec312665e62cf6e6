"""Trackers: what the user knows of a model, such as losses and accuracies, beside what is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from umlaut_async.arguments import checked_text
from umlaut_async.benchmark import Benchmark, value_record
from umlaut_async.clock import now
from umlaut_async.errors import ArgumentError, ArgumentTypeError, ClosedError
from umlaut_async.scalars import unwrapped
from umlaut_async.store.values import encode, plain

if TYPE_CHECKING:
    from types import TracebackType

    from umlaut_async.records import ValueRecord


class _Tracker:
    def __init__(self, benchmark: Benchmark) -> None:
        if not isinstance(benchmark, Benchmark):
            raise ArgumentTypeError(f"benchmark must be a Benchmark, not {type(benchmark).__name__}")
        self.benchmark = benchmark


class LossTracker(_Tracker):
    """Record the losses of a training.

        LossTracker(bm).track([0.9, 0.5, 0.3], "training loss")

    Args:
        benchmark: Where they are recorded.
    """

    def serialize(self, loss_values: Any) -> bytes:
        """Return loss values as pickled bytes, as UMLAUT did; what is stored is JSON."""
        return _pickled(_numbers("loss_values", loss_values))

    def track(self, loss_values: Any, description: str) -> None:
        """Record the loss values of a run.

        Args:
            loss_values: Numbers, in the order of training: a list, a numpy array or the like.
            description: What they are, in the words of the user.

        Raises:
            ArgumentTypeError: They are not numbers, or the description is not a text.
        """
        self.benchmark.log(description, "loss", _numbers("loss_values", loss_values), unit="loss")


class TTATracker(_Tracker):
    """Record the accuracies on the way to the final one (time to accuracy).

    Args:
        benchmark: Where they are recorded.
    """

    def serialize(self, accuracies: Any) -> bytes:
        """Return accuracies as pickled bytes, as UMLAUT did; what is stored is JSON."""
        return _pickled(_numbers("accuracies", accuracies))

    def track(self, accuracies: Any, description: str) -> None:
        """Record the accuracies of a run, as they are given.

        Args:
            accuracies: Numbers, in the order of training: a list, a numpy array or the like.
            description: What they are, in the words of the user.

        Raises:
            ArgumentTypeError: They are not numbers, or the description is not a text.
        """
        self.benchmark.log(description, "tta", _numbers("accuracies", accuracies), unit="accuracy")


class TimedTTATracker(_Tracker):
    """Record how many seconds pass, from now on, until an accuracy is reached.

    Args:
        benchmark: Where it is recorded.
        target_acc: The accuracy to reach, a finite number.

    Raises:
        ArgumentError: The target is not finite.
        ArgumentTypeError: It is not a number.
    """

    def __init__(self, benchmark: Benchmark, target_acc: float) -> None:
        super().__init__(benchmark)
        self.target_acc = _accuracy("target_acc", target_acc)
        if not math.isfinite(self.target_acc):
            raise ArgumentError(f"target_acc must be finite, since {self.target_acc} is never reached")
        self._started = now()
        # The best accuracy so far for each description; None once the target was reached.
        self._best: dict[str, float | None] = {}
        benchmark.before_end.add(partial(_record_unreached, self._best, self.target_acc))

    def track(self, accuracy: float, description: str) -> None:
        """Take note of an accuracy; the first that reaches the target is recorded with its time.

        What never reaches it is recorded as not reached when the benchmark is closed.

        Args:
            accuracy: The accuracy at present; NaN reaches nothing, and is not the best one.
            description: What it is, in the words of the user.

        Raises:
            ArgumentError: It is too large for a float.
            ArgumentTypeError: It is not a number, or the description is not a text.
        """
        accuracy = _accuracy("accuracy", accuracy)
        description = checked_text("description", description)
        self.benchmark.require_recording()
        best = self._best.get(description, math.nan)
        if best is None:
            return
        if accuracy >= self.target_acc:
            self.benchmark.log(description, "timed tta", (now() - self._started) / 1e9, unit=_UNIT_OF_TIMED_TTA)
            self._best[description] = None
        else:
            self._best[description] = accuracy if math.isnan(best) else max(best, accuracy)


@dataclass
class _Search:
    """A hyperparameter search, so far."""

    description: str
    hyperparameters: list[str]
    target: str
    low_means_good: bool
    measurements: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False

    def content(self) -> dict[str, Any]:
        """Return what is stored of it."""
        return {
            "hyperparameters": self.hyperparameters,
            "target": self.target,
            "low_means_good": self.low_means_good,
            "measurements": self.measurements,
        }

    def logged(self) -> tuple[str, str, dict[str, Any]]:
        """Return its description, the type of its result, and this."""
        return self.description, "hyperparameters", self.content()


class HyperparameterTracker(_Tracker):
    """Record the runs of a hyperparameter search.

        with HyperparameterTracker(bm, "search", ["alpha", "depth"], "accuracy", low_means_good=False) as tracker:
            tracker.track({"alpha": 0.1, "depth": 3, "accuracy": 0.92})

    One result holds all of them. It is recorded by `close()`, by the end of `with`, or when the benchmark is closed.

    Args:
        benchmark: Where it is recorded.
        description: What is searched, in the words of the user.
        hyperparameters: The names of the hyperparameters.
        target: The name of what is to be optimised.
        low_means_good: Whether less of it is better.

    Raises:
        ArgumentError: There are no hyperparameters.
        ArgumentTypeError: An argument is of the wrong type.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        description: str,
        hyperparameters: Sequence[str],
        target: str,
        low_means_good: bool = True,
    ) -> None:
        super().__init__(benchmark)
        self.description = checked_text("description", description)
        self.hyperparameters = _names(hyperparameters)
        if not self.hyperparameters:
            raise ArgumentError("hyperparameters must not be empty; name at least one")
        self.target = checked_text("target", target)
        self.low_means_good = low_means_good
        self._search = _Search(self.description, self.hyperparameters, self.target, low_means_good)
        benchmark.before_end.add(partial(_record_search, self._search))

    def serialize(self) -> bytes:
        """Return what was tracked as pickled bytes, as UMLAUT did; what is stored is JSON."""
        return _pickled(self._search.content())

    def track(self, measurement: Mapping[str, Any]) -> None:
        """Take note of one run of the search.

        Args:
            measurement: The value of each hyperparameter and of the target, by name.

        Raises:
            ArgumentError: One of the values is missing, or cannot be stored.
            ArgumentTypeError: The measurement is not a mapping, or a value has no JSON form.
            ClosedError: The tracker or the benchmark was closed.
        """
        if not isinstance(measurement, Mapping):
            raise ArgumentTypeError(f"a measurement must be a mapping, not {type(measurement).__name__}")
        missing = [name for name in [*self.hyperparameters, self.target] if name not in measurement]
        if missing:
            raise ArgumentError(f"the measurement lacks {', '.join(missing)}; pass a value for each hyperparameter")
        self.benchmark.require_recording()
        if self._search.closed:
            raise ClosedError("this tracker was closed and has recorded its result; make a new one for another search")
        measured = plain(measurement)
        encode(measured)
        self._search.measurements.append(measured)

    def close(self) -> None:
        """Record what was tracked; once is enough, and nothing can be tracked afterwards."""
        if not self._search.closed:
            if self._search.measurements:
                self.benchmark.log(*self._search.logged())
            self._search.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ConfusionMatrixTracker(_Tracker):
    """Record a confusion matrix.

    Args:
        benchmark: Where it is recorded.
    """

    def serialize(self, matrix: Any, labels: Any) -> bytes:
        """Return a matrix and its labels as pickled bytes, as UMLAUT did; what is stored is JSON."""
        return _pickled(_confusion(matrix, labels))

    def track(self, matrix: Any, labels: Any, description: str) -> None:
        """Record a confusion matrix.

        Args:
            matrix: A square of counts, axis 0 predicted and axis 1 actual: lists, a numpy array or the like.
            labels: The name of each class.
            description: What it is, in the words of the user.

        Raises:
            ArgumentError: The matrix is not square, or does not fit its labels.
            ArgumentTypeError: It is not made of numbers, or the description is not a text.
        """
        self.benchmark.log(description, "confusion-matrix", _confusion(matrix, labels))


_UNIT_OF_TIMED_TTA = "time for target accuracy"


def _record_unreached(best_of: dict[str, float | None], target: float, record: Callable[[ValueRecord], None]) -> None:
    """Record the accuracies that have not reached their target when the run ends."""
    for description, best in best_of.items():
        if best is not None:
            value = {"target": target, "reached": False, "best": best}
            record(value_record(description, "timed tta", value, _UNIT_OF_TIMED_TTA))
            best_of[description] = None


def _record_search(search: _Search, record: Callable[[ValueRecord], None]) -> None:
    """Record a search that nobody has closed when the run ends."""
    # Where nothing was tracked in this run, it may be in the next one.
    if search.measurements and not search.closed:
        record(value_record(*search.logged()))
        search.closed = True


def _pickled(value: Any) -> bytes:
    import pickle

    return pickle.dumps(value)


def _names(hyperparameters: object) -> list[str]:
    if not isinstance(hyperparameters, str) and isinstance(hyperparameters, Iterable):
        names = list(hyperparameters)
        if all(isinstance(name, str) for name in names):
            return names
    raise ArgumentTypeError("hyperparameters must be several names, such as ['alpha', 'depth']")


def _number(name: str, value: Any) -> float:
    value = unwrapped(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArgumentTypeError(f"{name} must be a number, not {type(value).__name__}")
    return value


def _accuracy(name: str, value: Any) -> float:
    try:
        return float(_number(name, value))
    except OverflowError as error:
        raise ArgumentError(f"{name} is too large for a float") from error


def _numbers(name: str, numbers: Any) -> list[float]:
    if callable(tolist := getattr(numbers, "tolist", None)):
        numbers = tolist()
    if isinstance(numbers, (str, bytes, Mapping)) or not hasattr(numbers, "__iter__"):
        raise ArgumentTypeError(f"{name} must be several numbers, not {type(numbers).__name__}")
    return [_number(f"each of {name}", number) for number in numbers]


def _confusion(matrix: Any, labels: Any) -> dict[str, Any]:
    names = plain(labels)
    if not isinstance(names, list):
        raise ArgumentTypeError(f"labels must be several names, not {type(labels).__name__}")
    if callable(tolist := getattr(matrix, "tolist", None)):
        matrix = tolist()
    if isinstance(matrix, (str, bytes, Mapping)) or not hasattr(matrix, "__iter__"):
        raise ArgumentTypeError(f"matrix must be rows of numbers, not {type(matrix).__name__}")
    rows = [_numbers("a row of the matrix", row) for row in matrix]
    if any(len(row) != len(rows) for row in rows):
        raise ArgumentError(f"the confusion matrix must be square: {len(rows)} rows of lengths {[*map(len, rows)]}")
    if len(names) != len(rows):
        raise ArgumentError(f"{len(names)} labels do not fit a confusion matrix of {len(rows)} classes")
    return {"matrix": rows, "labels": names}

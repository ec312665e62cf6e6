"""The trackers of UMLAUT, which are those of the asynchronous API: `track` is an ordinary function in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umlaut_async import trackers
from umlaut_async.compat.facade import core_of
from umlaut_async.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from umlaut_async.compat.facade import Benchmark


class LossTracker(trackers.LossTracker):
    """Record the losses of a training.

    Args:
        benchmark: Where they are recorded.
    """

    def __init__(self, benchmark: Benchmark) -> None:
        super().__init__(core_of(benchmark))


class TTATracker(trackers.TTATracker):
    """Record the accuracies on the way to the final one (time to accuracy).

    Args:
        benchmark: Where they are recorded.
    """

    def __init__(self, benchmark: Benchmark) -> None:
        super().__init__(core_of(benchmark))


class TimedTTATracker(trackers.TimedTTATracker):
    """Record how many seconds pass, from now on, until an accuracy is reached.

    Args:
        benchmark: Where it is recorded.
        target_acc: The accuracy to reach.
    """

    def __init__(self, benchmark: Benchmark, target_acc: float) -> None:
        super().__init__(core_of(benchmark), target_acc)

    def serialize(self, accuracies: Any) -> bytes:
        """Return accuracies as pickled bytes, as UMLAUT did; what is stored is JSON."""
        return trackers.TTATracker(self.benchmark).serialize(accuracies)


class HyperparameterTracker(trackers.HyperparameterTracker):
    """Record the runs of a hyperparameter search.

    Args:
        benchmark: Where it is recorded.
        description: What is searched, in the words of the user.
        hyperparameters: The names of the hyperparameters.
        target: The name of what is to be optimised.
        low_means_good: Whether less of it is better.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        description: str,
        hyperparameters: Sequence[str],
        target: str,
        low_means_good: bool = True,
    ) -> None:
        super().__init__(core_of(benchmark), description, hyperparameters, target, low_means_good)

    def track(self, measurement: Mapping[str, Any] | Sequence[Any]) -> None:
        """Take note of one run of the search.

        Args:
            measurement: The value of each hyperparameter and of the target, by name; or the values alone, as a list or
                an array, in the order of the hyperparameters with that of the target last.

        Raises:
            ArgumentError: One of the values is missing, or cannot be stored.
            ArgumentTypeError: The measurement is neither, or a value has no JSON form.
            ClosedError: The tracker or the benchmark was closed.
        """
        if callable(items := getattr(measurement, "items", None)):
            measurement = dict(items())  # also of a Series of pandas, which is no Mapping
        elif callable(tolist := getattr(measurement, "tolist", None)):
            measurement = tolist()
        if isinstance(measurement, (list, tuple)):
            names = [*self.hyperparameters, self.target]
            if len(measurement) != len(names):
                raise ArgumentError(
                    f"a measurement has one value for each of {', '.join(names)}, and not {len(measurement)} values"
                )
            measurement = dict(zip(names, measurement, strict=True))
        super().track(measurement)  # type: ignore[arg-type]  # what is no mapping is refused there


class ConfusionMatrixTracker(trackers.ConfusionMatrixTracker):
    """Record a confusion matrix.

    Args:
        benchmark: Where it is recorded.
    """

    def __init__(self, benchmark: Benchmark) -> None:
        super().__init__(core_of(benchmark))

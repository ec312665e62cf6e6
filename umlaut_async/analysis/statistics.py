"""The statistics of comparisons. Each number that comes in is one run, since calls of one run are not independent.

scipy is imported where it is used, since that takes a second.
"""

from __future__ import annotations

import math
import warnings
from functools import cache
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = [
    "ALPHA",
    "POWER",
    "Difference",
    "adjusted",
    "detectable",
    "log_rank",
    "median_time",
    "runs_needed",
    "welch",
]

ALPHA = 0.05
POWER = 0.8
MOST_RUNS = 1000

# Of what is equal but for rounding the variance means nothing.
_ROUNDING = 1e-12


class Difference(NamedTuple):
    """How the mean of the second group differs from that of the first one."""

    change: float
    low: float
    """The lower end of its 95 % interval."""
    high: float
    p: float
    noise: float
    """The standard deviation from run to run, pooled over both groups."""


def stats() -> ModuleType:
    """Return `scipy.stats`.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy import stats
    except ImportError as error:
        if error.name != "scipy":
            raise
        from umlaut_async.analysis.tables import MissingExtraError

        raise MissingExtraError(
            "scipy is not installed; install it with: pip install 'umlaut_async[stats]'", name="scipy"
        ) from error
    module: ModuleType = stats
    return module


def welch(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two groups of at least two values each by Welch's t-test, which lets them differ in their noise."""
    scipy = stats()
    change = fmean(second) - fmean(first)
    noise = math.sqrt((stdev(first) ** 2 + stdev(second) ** 2) / 2)
    size = max(map(abs, (*first, *second)))
    if noise <= _ROUNDING * size:
        # Numbers without noise, such as counts: any difference is one.
        equal = abs(change) <= _ROUNDING * size
        return Difference(0.0, 0.0, 0.0, 1.0, 0.0) if equal else Difference(change, change, change, 0.0, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one of the groups may be without noise
        test = scipy.ttest_ind(second, first, equal_var=False)
        low, high = test.confidence_interval(1 - ALPHA)
    return Difference(change, float(low), float(high), float(test.pvalue), noise)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return p values by Benjamini and Hochberg: of the rows that these call different, at most `ALPHA` are not."""
    return [float(p) for p in stats().false_discovery_control(p_values)] if p_values else []


def runs_needed(noise: float, effect: float) -> int | None:
    """Return how many runs each group needs to show an effect as large with a probability of `POWER`.

    Returns:
        None if it takes more than `MOST_RUNS`.
    """
    if noise == 0:
        return 2
    low, high = 2, 2
    while _power(high, high, effect / noise) < POWER:
        if high >= MOST_RUNS:
            return None
        low, high = high, min(2 * high, MOST_RUNS)
    while low < high:
        middle = (low + high) // 2
        if _power(middle, middle, effect / noise) < POWER:
            low = middle + 1
        else:
            high = middle
    return high


def detectable(noise: float, first: int, second: int) -> float:
    """Return the least effect that groups of so many runs show with a probability of `POWER`."""
    return noise * _detectable(first, second) if noise else 0.0


@cache
def _detectable(first: int, second: int) -> float:
    """Return it in standard deviations."""
    from scipy.optimize import brentq

    high = 1.0
    while _power(first, second, high) < POWER:
        high *= 2
    return float(brentq(lambda effect: _power(first, second, effect) - POWER, 0, high, rtol=1e-3))


def _power(first: int, second: int, effect: float) -> float:
    """Return the probability that a t-test shows an effect, given in standard deviations."""
    scipy = stats()
    freedom = first + second - 2
    limit = scipy.t.isf(ALPHA / 2, freedom)
    power = float(scipy.nct.sf(limit, freedom, effect * math.sqrt(first * second / (first + second))))
    return 1.0 if math.isnan(power) else power  # only far beyond certainty


def log_rank(first: Sequence[tuple[float, bool]], second: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    """Compare two groups of times, some of which are only known to be longer: the flag says whether the end came.

    Returns:
        The probability, and a number that is positive if the second group took longer.
    """
    if not any(ended for _, ended in (*first, *second)):
        return 1.0, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # if all ended at the same moment
        test = stats().logrank(_censored(first), _censored(second))
    return (1.0, 0.0) if math.isnan(test.pvalue) else (float(test.pvalue), float(test.statistic))


def median_time(times: Sequence[tuple[float, bool]]) -> float | None:
    """Return the time by which half of a group had ended, by Kaplan and Meier; None if fewer ended."""
    survival = stats().ecdf(_censored(times)).sf
    found = zip(survival.quantiles, survival.probabilities, strict=True)
    return next((float(time) for time, probability in found if probability <= 0.5 + _ROUNDING), None)


def _censored(times: Sequence[tuple[float, bool]]) -> Any:
    return stats().CensoredData(
        uncensored=[time for time, ended in times if ended], right=[time for time, ended in times if not ended]
    )

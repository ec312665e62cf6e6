"""Reading, explaining and comparing runs that were recorded."""

from __future__ import annotations

from umlaut_async.analysis.comparing import Comparison
from umlaut_async.analysis.results import Results, RunResults
from umlaut_async.analysis.selectors import NoRunError, SelectorError
from umlaut_async.analysis.tables import MissingExtraError, Table

__all__ = ["Comparison", "MissingExtraError", "NoRunError", "Results", "RunResults", "SelectorError", "Table"]

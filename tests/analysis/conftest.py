"""Databases made by hand."""

from __future__ import annotations

from tests.cli.conftest import store, umlaut

__all__ = ["store", "umlaut"]

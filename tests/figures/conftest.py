"""Databases made by hand, and the command line."""

from __future__ import annotations

from tests.cli.conftest import store, umlaut, umlaut_process

__all__ = ["store", "umlaut", "umlaut_process"]

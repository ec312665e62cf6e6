"""Databases in the shape that UMLAUT documented: its own, of all forms, and ours shown in the same way."""

"""Measurements as figures, text and CSV: what is drawn is worked out once, whatever draws it."""

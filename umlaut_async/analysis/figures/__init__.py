"""Figures of runs: all stages and series on one time axis, as HTML, as a picture, as text, and in reports."""

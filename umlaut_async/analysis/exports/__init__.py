"""Runs in the formats of other programs: nothing is thinned out or rounded."""

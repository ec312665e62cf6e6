"""Tests of what runs are in the formats of other programs."""

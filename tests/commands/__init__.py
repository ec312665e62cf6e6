"""Tests of commands that are measured from outside."""

"""Tests of the whole way from calls to the database, against a slow reading of the same script."""

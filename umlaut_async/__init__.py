"""Measure the stages of machine-learning pipelines, asynchronous ones above all."""

__version__ = "0.1.0"

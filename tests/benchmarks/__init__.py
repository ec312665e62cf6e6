"""What measuring costs, against what it costs elsewhere: `python -m tests.benchmarks`."""

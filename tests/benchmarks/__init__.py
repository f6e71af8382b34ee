"""Measurements: `python -m tests.benchmarks.NAME`; the last line of each is one line of JSON."""

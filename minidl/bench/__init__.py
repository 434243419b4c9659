"""Benchmarks: ``python -m minidl bench``. Competitors run alternately, so compare their times, not absolute ones."""

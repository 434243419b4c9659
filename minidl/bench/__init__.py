"""Benchmarks: ``python -m minidl bench``. What counts is how times compare, as everything is asked in turn."""

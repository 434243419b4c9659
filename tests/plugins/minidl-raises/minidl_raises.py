"""Raises on import, which must not affect anything else."""

raise RuntimeError("no licence was found")

"""Run folders: created, listed and resumed."""

"""Run folders: created, found and resumed."""

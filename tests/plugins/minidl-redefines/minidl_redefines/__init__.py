"""Plugins whose names are taken: those that are announced, and those that are registered."""

"""Plugins with names that are taken: by entry points, and by registration."""

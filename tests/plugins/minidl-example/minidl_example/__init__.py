"""Plugins for minidl. Nothing is imported here: each module is loaded when its plugin is asked for by name."""

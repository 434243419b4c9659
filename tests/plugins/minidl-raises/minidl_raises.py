"""Cannot be imported, which must be nobody's trouble but its own."""

raise RuntimeError("no licence was found")

"""Random programs beside PyTorch, random histories of training beside a plain loop: see ``python -m tests.fuzz -h``."""

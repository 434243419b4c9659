"""Random programs against PyTorch, random training histories against a plain loop: see ``python -m tests.fuzz -h``."""

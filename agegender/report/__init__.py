"""What a training says and draws, and what is told of runs."""

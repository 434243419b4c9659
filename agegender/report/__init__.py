"""What a run prints and plots, and the list of runs."""

"""The self-made checkpoint with random weights that lets everything run with no download."""

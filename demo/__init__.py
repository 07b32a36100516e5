"""The self-made checkpoint that lets everything run without a download."""

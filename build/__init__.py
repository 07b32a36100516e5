"""Exports to a self-contained Triton model repository for one target, with a manifest of what is in it."""

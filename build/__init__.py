"""Builds a self-contained Triton model repository for one target from exports, with a manifest of its contents."""

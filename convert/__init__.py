"""Checkpoint in, portable exports out. Knows transformers' and Boson's file layouts; knows no target and no server."""

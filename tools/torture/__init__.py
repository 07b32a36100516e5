"""Attacks on a running bundle beside somebody who listens: `python -m tools.torture`."""

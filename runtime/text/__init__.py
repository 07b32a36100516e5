"""Turns text into turns, turns into parts, and parts into the prompt's tokens."""

"""Text to turns, turns to parts, parts to the prompt's tokens."""

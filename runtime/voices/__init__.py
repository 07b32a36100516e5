"""Voice profiles, and the codes of reference clips."""

"""Who says what, in which voice."""

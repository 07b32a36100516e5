"""What several stages share, each described once."""

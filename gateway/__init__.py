"""Speech over HTTP, in the formats of clients that exist. Knows the Python client and nothing else of the house."""

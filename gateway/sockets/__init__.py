"""Text that comes in pieces, over WebSockets and over TCP: one module for each protocol, and what they share."""

"""Text that comes in pieces, over WebSockets and over TCP: one module for each protocol, and what they share."""

from gateway.sockets import dialogue, elevenlabs, vllm_omni, wyoming

__all__ = ["dialogue", "elevenlabs", "vllm_omni", "wyoming"]

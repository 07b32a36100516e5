"""The engine over vLLM: its scheduler, paged cache and workers, our codes. docs/vllm.md explains the ids."""

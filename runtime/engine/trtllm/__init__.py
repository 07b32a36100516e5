"""NVIDIA's in-flight batching: TensorRT-LLM's executor, made to speak by a callback between its steps."""

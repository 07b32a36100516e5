"""Our own in-flight batching over a model runner: ONNX Runtime on a CPU, TensorRT-RTX on a GPU."""

"""What Triton calls: one module a model, and their tensors, metrics and responses."""

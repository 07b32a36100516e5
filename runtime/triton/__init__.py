"""What Triton calls: one module per model, and the tensors, metrics and responses they share."""

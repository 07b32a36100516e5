"""Starting Triton over a bundle, on a laptop or in NVIDIA's container, and keeping it up."""

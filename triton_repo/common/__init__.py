"""What several Triton models of the bundle need; the assembler puts a copy beside each model.py."""

"""What runs inside the language-model stage: prompts in, windows of codec frames out, many streams at once.

Knows nothing of text, of Triton, or of the other stages' files.
"""

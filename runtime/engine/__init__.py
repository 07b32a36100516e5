"""What runs inside the language-model stage: prompts in, windows of codec frames out, many streams at once.

It knows nothing about text, Triton, or the other stages' files.
"""

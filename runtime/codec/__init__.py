"""Reference clips to codes, windows of codes to the samples of a stream."""

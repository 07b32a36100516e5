"""Encodes reference clips into codes, and decodes windows of codes into the samples of a stream."""

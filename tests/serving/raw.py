"""Talking to single Triton models of the ensemble: `bench/triton_models.py` under the name the tests know it by."""

from bench.triton_models import codes_of, infer, metrics, stream

__all__ = ["codes_of", "infer", "metrics", "stream"]

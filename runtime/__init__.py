"""All Python that runs inside Triton, copied whole beside each model of a bundle.

`formats` holds what several stages share; `text` splits a text into turns and parts; `voices` keeps profiles and their
codes; `engine` runs the language model for all streams; `speech` speaks a request part by part; `codec` converts audio
to codes and back; `triton` is what Triton calls. It imports nothing that builds, serves or calls it:
`tests/test_imports.py` says which package may import which.
"""

"""All Python that runs inside Triton, copied whole beside each model of a bundle.

`formats` is what several stages share; `text` makes turns and parts of a text; `voices` keeps profiles and their codes;
`engine` runs the language model for all streams; `speech` speaks a request part by part; `codec` takes audio to codes
and back; `triton` is what Triton calls. It imports nothing of what builds, serves or calls it: `tests/test_imports.py`
holds who may import whom.
"""

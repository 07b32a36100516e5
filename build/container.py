"""The container that GPU bundles are built and served in: a pinned pair of versions, not to be upgraded routinely."""

TENSORRT_LLM = "1.2.1"  # the last release with trtllm-build and the C++ executor
IMAGE = "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3"  # deploy/Dockerfile begins with it

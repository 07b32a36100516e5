"""The container that GPU bundles are built and served in: a frozen pair, not versions to move with the times."""

TENSORRT_LLM = "1.2.1"  # the last release with trtllm-build and the C++ executor
IMAGE = "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3"  # deploy/Dockerfile begins with it

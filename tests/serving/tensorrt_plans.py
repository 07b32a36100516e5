"""A bundle whose codec runs behind Triton models of their own, as with TensorRT plans, but with ONNX Runtime in them.

Everything is the product's but what stands behind `codec_decoder_plan` and `codec_encoder_plan`: Triton's TensorRT
backend needs a GPU, so a Python model with the same tensors and batch size answers in its place.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.exports import Exports
from build.repository import PLAN_FILE, PLAN_MODELS, assemble
from build.targets import load_target
from tests.serve.small import write_manifest

_MODEL = """
from pathlib import Path

import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        plan = Path(args["model_repository"]) / args["model_version"] / "model.plan"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # as in the Python models: how sums are rounded follows it
        self._session = onnxruntime.InferenceSession(plan, options)

    def execute(self, requests):
        answers = []
        for request in requests:
            name = self._session.get_inputs()[0].name
            try:
                array = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
                outputs = self._session.run(None, {name: array})
            except Exception as error:
                answers.append(pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))))
                continue
            names = [output.name for output in self._session.get_outputs()]
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor(n, o) for n, o in zip(names, outputs)]))
        return answers
"""


def make_plan_bundle(exports: Exports, voices: Path, folder: Path) -> Path:
    """Assemble it into `folder`, from CPU exports whose ONNX files take the plans' places."""
    engines = folder / "engines" / "codec"
    engines.mkdir(parents=True)
    for network in ("decoder", "encoder"):
        (engines / f"{network}.plan").hardlink_to(exports.directory / "codec" / f"{network}.onnx")
    target = replace(load_target("cpu"), codec_engine="tensorrt", max_decode_batch=16)
    repository = folder / "model_repository"
    assemble(exports, target, voices, repository, "plans", folder / "engines")
    for model in PLAN_MODELS:
        path = repository / model / "config.pbtxt"
        config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        assert (config.backend, config.platform) == ("tensorrt", "tensorrt_plan")
        assert (repository / model / "1" / PLAN_FILE).is_file()
        config.backend, config.platform = "python", ""
        config.ClearField("default_model_filename")
        path.write_text(text_format.MessageToString(config))
        (repository / model / "1" / "model.py").write_text(_MODEL)
    write_manifest(folder)
    return folder

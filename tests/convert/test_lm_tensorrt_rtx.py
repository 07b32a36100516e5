"""The language model as one graph in standard operators: against transformers, in each type, and what is refused."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from transformers import HiggsAudioV2ForConditionalGeneration

from convert import export, lm_check, lm_tensorrt_rtx
from convert.__main__ import main
from convert.checkpoint import Checkpoint
from convert.errors import ExportError
from convert.lm_formats import lm_format
from demo.make_checkpoint import make_checkpoint

PAST, LAYERS = 40, 2  # of the tiny model


@pytest.fixture(scope="module")
def exported(transformers_checkpoint, tmp_path_factory):
    """Precision -> folder."""
    checkpoint = Checkpoint.open(transformers_checkpoint)
    folders = {}
    for precision in lm_tensorrt_rtx.FLOAT_TYPES:
        folders[precision] = tmp_path_factory.mktemp(precision)
        lm_tensorrt_rtx.export(checkpoint, folders[precision], precision, 128)
    return folders


@pytest.fixture(scope="module")
def mixed(transformers_checkpoint):
    """Two rows of text and audio positions in different places, and transformers' logits at each row's end."""
    random = np.random.default_rng(0)
    modality = random.integers(0, 2, (2, 14))
    modality[:, -1] = 1
    ids = random.integers(0, 256, (2, 14))
    columns = random.integers(0, 1026, (2, 14, 8))
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(
        transformers_checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    body, is_audio = model.model, torch.from_numpy(modality).bool()
    with torch.no_grad():
        text = body.embed_tokens(torch.from_numpy(ids))
        offsets = torch.arange(8) * 1026
        audio = body.embed_audio_tokens.embed_audio_tokens(torch.from_numpy(columns) + offsets).sum(dim=2)
        hidden = torch.where(is_audio[:, :, None], audio, text)
        rotary = body.rotary_emb(hidden, torch.arange(14)[None])
        mask = torch.full((14, 14), float("-inf")).triu(1)[None, None]
        for layer in body.layers:
            hidden = layer(hidden, rotary, attention_mask=mask, audio_token_mask=is_audio)
        logits = model.audio_lm_head(body.norm(hidden))[:, -1].view(2, 8, 1026)
    return {"ids": ids, "columns": columns, "modality": modality}, logits.numpy()


class Gather(OpRun):
    """onnx's own cannot take a tensor that is not contiguous."""

    def _run(self, data, indices, axis=0):
        return (np.take(data, indices, axis=axis),)


class MatMul(OpRun):
    """onnx's own gives float32 for bfloat16; as on a GPU, sums are float32 and only the result is rounded."""

    def _run(self, a, b):
        return (np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype),)


def run(session, values, start, stop, past):
    """Positions start..stop of both rows; the new keys and values go into `past` behind garbage-free zeros."""
    part = {name: array[:, start:stop] for name, array in values.items()}
    flat = part["modality"].reshape(-1)
    text_rows, audio_rows = np.flatnonzero(flat == 0), np.flatnonzero(flat == 1)
    order = np.empty(len(flat), np.int64)
    order[np.concatenate([text_rows, audio_rows])] = np.arange(len(flat))
    positions = np.broadcast_to(np.arange(start, stop), (2, stop - start)).copy()
    feed = {**part, "positions": positions, "text_rows": text_rows, "audio_rows": audio_rows, "row_order": order}
    for layer in range(LAYERS):
        feed[f"past_key_{layer}"], feed[f"past_value_{layer}"] = past[2 * layer], past[2 * layer + 1]
    logits, new = session.run(["logits", "new_key_values"], feed)
    past[:, :, :, start:stop] = new
    return logits


def in_pieces(session, values, dtype=np.float32):
    """A piece of everything, one position of it, the rest: each continues where the one before stopped."""
    past = np.zeros((2 * LAYERS, 2, 2, PAST, 16), dtype)
    run(session, values, 0, 8, past)
    run(session, values, 8, 9, past)
    return run(session, values, 9, 14, past)


def deviation(found, expected):
    return float(np.abs(found.astype(np.float32) - expected).max() / expected.std())


def test_rows_of_mixed_modality_in_pieces_equal_transformers(exported, mixed):
    values, expected = mixed
    session = onnxruntime.InferenceSession(exported["fp32"] / "lm.onnx")
    assert deviation(in_pieces(session, values), expected) < 1e-5


def test_what_lies_behind_a_rows_past_changes_nothing(exported, mixed):
    values, expected = mixed
    session = onnxruntime.InferenceSession(exported["fp32"] / "lm.onnx")
    past = np.random.default_rng(1).standard_normal((2 * LAYERS, 2, 2, PAST, 16)).astype(np.float32) * 100
    run(session, values, 0, 8, past)
    assert deviation(run(session, values, 8, 14, past), expected) < 1e-5


@pytest.mark.parametrize(
    "precision, limit",
    [("fp16", 1e-2), ("bf16", 0.15)],  # three times what was measured; bfloat16 has 8 times less of a mantissa
)
def test_the_graph_in_half_precision_computes_what_it_says(exported, mixed, figure, precision, limit):
    """Run as it stands, types and all: ONNX Runtime has float16, and onnx's own evaluator bfloat16."""
    values, expected = mixed
    path = exported[precision] / "lm.onnx"
    session = (
        onnxruntime.InferenceSession(path)
        if precision == "fp16"
        else ReferenceEvaluator(str(path), new_ops=[Gather, MatMul])
    )
    error = deviation(in_pieces(session, values, lm_tensorrt_rtx.FLOAT_TYPES[precision].numpy), expected)
    figure(f"one graph computed in {precision}, logits against transformers", f"{error:.1e} standard deviations")
    assert 1e-4 < error < limit


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_graph_is_standard_onnx(exported, precision):
    model = onnx.load(exported[precision] / "lm.onnx", load_external_data=False)
    onnx.checker.check_model(exported[precision] / "lm.onnx", full_check=True)
    assert [opset.domain for opset in model.opset_import] == [""]
    assert {node.domain for node in model.graph.node} == {""}
    stored = {i.name: i.data_type for i in model.graph.initializer if i.data_location == onnx.TensorProto.EXTERNAL}
    assert stored["layer1.audio.down"] == lm_tensorrt_rtx.FLOAT_TYPES[precision].onnx
    assert stored["layer1.norm1"] == onnx.TensorProto.FLOAT
    elements = {"fp32": 4, "fp16": 2, "bf16": 2}[precision]
    parameters = sum(np.prod(i.dims) for i in model.graph.initializer if i.name in stored)
    assert (exported[precision] / "lm.weights").stat().st_size >= parameters * elements


@pytest.mark.parametrize("layout", ["transformers_checkpoint", "boson_checkpoint"])
def test_both_layouts_pass_the_check_with_float32s_tolerance(layout, request, tmp_path):
    checkpoint = Checkpoint.open(request.getfixturevalue(layout))
    assert checkpoint.stored_types() == {"BF16"}
    lm_tensorrt_rtx.export(checkpoint, tmp_path, "bf16", 128)
    error = lm_check.compare_tensorrt_rtx(checkpoint, tmp_path, "bf16")
    assert error.maximum < 1e-5
    assert error.same_choice == 1.0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lm.json", "lm.onnx", "lm.weights"]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_weights_stored_in_float32_lose_what_rounding_costs(precision, tmp_path, figure):
    make_checkpoint(tmp_path / "checkpoint", size="tiny", dtype="float32")
    checkpoint = Checkpoint.open(tmp_path / "checkpoint")
    lm_tensorrt_rtx.export(checkpoint, tmp_path / "lm", precision, 128)
    error = lm_check.compare_tensorrt_rtx(checkpoint, tmp_path / "lm", precision)
    figure(f"float32 weights rounded to {precision}, logits", f"{error.maximum:.1e} standard deviations at most")
    assert error.maximum > 1e-4


def test_another_models_graph_is_refused(transformers_checkpoint, tmp_path):
    make_checkpoint(tmp_path / "other", size="tiny", seed=1)
    lm_tensorrt_rtx.export(Checkpoint.open(tmp_path / "other"), tmp_path / "lm", "fp32", 128)
    with pytest.raises(ExportError, match="standard deviations away from transformers'"):
        lm_check.compare_tensorrt_rtx(Checkpoint.open(transformers_checkpoint), tmp_path / "lm", "fp32")


@pytest.mark.parametrize(
    "name, precision, sentence",
    [
        ("tensorrt-rtx", "int4", "the format tensorrt-rtx has no precision int4; it has fp32, fp16, bf16"),
        ("onnx", "bf16", "the format onnx has no precision bf16; it has fp32, int8, int4"),
        ("coreml", "fp32", "the language-model format 'coreml' is unknown; there are onnx,"),
    ],
)
def test_a_format_or_precision_that_does_not_exist_is_refused(name, precision, sentence):
    with pytest.raises(ExportError, match=sentence):
        lm_format(name, precision)


def test_the_command_writes_the_format_and_says_so_in_its_record(transformers_checkpoint, tmp_path, monkeypatch):
    codec = {"decoder_error": {"relative": 0.0}, "encoder_error": {"equal_codes": 1.0}}
    monkeypatch.setattr(
        export, "_export_codec", lambda *arguments: codec
    )  # which takes longest and is tested by itself
    command = [str(transformers_checkpoint), "--output", str(tmp_path / "exports"), "--lm-format", "tensorrt-rtx"]
    assert main([*command, "--precision", "bf16", "--max-positions", "128"]) == 0
    record = json.loads((tmp_path / "exports" / "export.json").read_text())
    assert record["language_model"]["format"] == "tensorrt-rtx"
    assert record["language_model"]["logits_error"]["maximum"] < 1e-5
    files = {file.name for file in (tmp_path / "exports" / "lm").iterdir()}
    assert files == {"lm.onnx", "lm.weights", "lm.json"}


def test_the_command_refuses_a_precision_the_format_has_not(transformers_checkpoint, tmp_path, capsys):
    command = [str(transformers_checkpoint), "--output", str(tmp_path / "exports"), "--lm-format", "tensorrt-rtx"]
    assert main([*command, "--precision", "int4"]) == 1
    assert capsys.readouterr().err == (
        "convert: ExportError: the format tensorrt-rtx has no precision int4; it has fp32, fp16, bf16 (--precision).\n"
    )
    assert not list(tmp_path.iterdir())

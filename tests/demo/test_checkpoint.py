"""The made checkpoint behaves like a working model, and transformers loads it as it would load the real one."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoProcessor, HiggsAudioV2ForConditionalGeneration

from convert.torchaudio_shim import install
from demo.language_model import write_language_model
from demo.make_checkpoint import EOS_RATE, SHARD_BYTES, make_checkpoint
from demo.sizes import CODES, SIZES, STREAM_BOS, STREAM_EOS
from demo.tokenizer import build_tokenizer, special_tokens, token_id

FRAMES = 250
SYSTEM = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nGenerate audio following instruction."
SCENE = "\n\n<|scene_desc_start|>\nA quiet room.\n<|scene_desc_end|><|eot_id|>"
# 3 frames of reference take 3 + 9 positions, the last seven of them under the delay token.
CLIP = "<|audio_out_bos|>" + "<|AUDIO_OUT|>" * 5 + "<|reserved_special_token_6|>" * 7 + "<|audio_eos|><|eot_id|>"


def turn(role, text):
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}"


def conversation(text, clip=None):
    turns = [("system", "Generate audio following instruction."), ("scene", " A quiet room. ")]
    turns += [("user", "Reference.")] if clip is not None else []
    messages = [{"role": role, "content": [{"type": "text", "text": words}]} for role, words in turns]
    if clip is not None:
        messages.append({"role": "assistant", "content": [{"type": "audio", "audio": clip}]})
    return [*messages, {"role": "user", "content": [{"type": "text", "text": text}]}]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo size's language model, in float32 so that what is measured is the model and not bfloat16."""
    directory = tmp_path_factory.mktemp("demo")
    write_language_model(directory, SIZES["demo"], 0, "transformers", EOS_RATE, "bfloat16", SHARD_BYTES)
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    model.generation_config.ras_win_len = None  # it would draw at random even in greedy decoding
    return model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tiny")
    make_checkpoint(directory, size="tiny")
    return directory


@torch.no_grad()
def generate(model, text, frames, **options):
    """Columns [frames, 8] and raw logits [frames, 8, 1026]."""
    prompt = SYSTEM + SCENE + turn("user", text) + "<|eot_id|>" + turn("assistant", "<|audio_out_bos|>")
    ids = build_tokenizer(512).encode(prompt, add_special_tokens=False).ids
    options = {"do_sample": False, "return_dict_in_generate": True, "output_logits": True, **options}
    output = model.generate(torch.tensor([ids]), max_new_tokens=frames, **options)
    return output.audio_sequences[0], torch.cat(output.logits).view(-1, 8, 1026)


@pytest.fixture(scope="module")
def greedy(demo):
    return generate(demo, "The sun rises in the east.", FRAMES)


def test_greedy_decoding_does_not_run_in_circles(greedy):
    columns, _ = greedy
    assert len(columns) == FRAMES
    codes = columns[8:]
    for codebook in range(8):
        counts = torch.bincount(codes[:, codebook]).float()
        share = counts[counts > 0] / counts.sum()
        # 5.5 nats if all 242 differed; 4.0 is what 55 codes, equally often, would have.
        assert -(share * share.log()).sum() > 4.0
        assert (codes[1:, codebook] == codes[:-1, codebook]).float().mean() < 0.1


def test_first_code_is_ahead_of_float_noise(demo, greedy):
    _, logits = greedy
    best, second = logits[8:, :, :CODES].topk(2).values.unbind(-1)
    # Two orders of adding up the same float32 numbers differ by about 1e-5 in these logits.
    assert (best - second).min() > 1e-4
    assert (best - second).mean() > 0.5


def test_stream_ids_stay_where_they_belong(greedy):
    _, logits = greedy
    chances = logits.softmax(dim=-1)
    assert chances[:, :, STREAM_BOS].max() < 1e-9
    assert chances[:, 1:, STREAM_EOS].max() < 1e-9
    # Per frame it varies with how sure the model is of its code; on average it is near the rate asked for.
    assert EOS_RATE / 4 < chances[:, 0, STREAM_EOS].mean() < EOS_RATE * 4


def test_sampling_ends_at_about_the_rate_asked_for(tmp_path):
    write_language_model(tmp_path, SIZES["tiny"], 0, "transformers", 1 / 20, "bfloat16", SHARD_BYTES)
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32)
    vars(model.generation_config)["ras_win_len"] = None
    lengths = []
    for seed in range(12):
        torch.manual_seed(seed)
        columns, _ = generate(model, "Hello.", 400, do_sample=True, top_k=0)
        lengths.append(len(columns))
    assert max(lengths) < 400
    # 20 frames on average and 1 + 7 columns of delay, as far as 12 draws tell; at once would be 10, e times rarer 50.
    assert 14 < sum(lengths) / len(lengths) < 60


def test_eos_rate_0_never_ends(tmp_path):
    write_language_model(tmp_path, SIZES["tiny"], 0, "transformers", 0.0, "bfloat16", SHARD_BYTES)
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32)
    _, logits = generate(model, "Hello.", 20)
    assert logits.softmax(dim=-1)[:, :, STREAM_EOS].max() < 1e-9


def test_what_is_said_depends_on_the_text(demo, greedy):
    columns, logits = greedy
    other_columns, other_logits = generate(demo, "Quite another sentence, which is longer too.", 40)
    # Column 1 is the first whose logits mean anything: its difference is the text's doing alone.
    assert ((logits[1] - other_logits[1]).pow(2).mean() / logits[1].pow(2).mean()).sqrt() > 0.1
    assert (columns[8:40] == other_columns[8:40]).float().mean() < 0.2


def test_text_and_audio_norms_differ(tiny):
    weights = load_file(tiny / "model.safetensors")
    for norm in ("input_layernorm", "post_attention_layernorm"):
        text, audio = (weights[f"model.layers.0.{kind}{norm}.weight"] for kind in ("", "audio_"))
        assert not torch.allclose(text, audio, atol=0.05)


def test_same_arguments_same_files_and_another_seed_other_files(tiny, tmp_path):
    for name, seed in (("same", 0), ("other", 1)):
        write_language_model(tmp_path / name, SIZES["tiny"], seed, "transformers", EOS_RATE, "bfloat16", SHARD_BYTES)
    first, same, other = (
        (folder / "model.safetensors").read_bytes() for folder in (tiny, tmp_path / "same", tmp_path / "other")
    )
    assert first == same
    assert first != other


def test_codec_does_not_depend_on_what_was_drawn_before(tiny, tmp_path):
    torch.manual_seed(123)
    make_checkpoint(tmp_path, size="tiny")
    first, second = (load_file(folder / "audio_tokenizer/model.safetensors") for folder in (tiny, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_special_tokens_have_llama_3_and_higgs_places():
    places = {
        "<|begin_of_text|>": 0,
        "<|end_of_text|>": 1,
        "<|reserved_special_token_2|>": 5,
        "<|start_header_id|>": 6,
        "<|end_header_id|>": 7,
        "<|eom_id|>": 8,
        "<|eot_id|>": 9,
        "<|audio_bos|>": 11,
        "<|audio_eos|>": 12,
        "<|audio_out_bos|>": 13,
        "<|reserved_special_token_6|>": 14,
        "<|AUDIO|>": 15,
        "<|AUDIO_OUT|>": 16,
        "<|recipient|>": 17,
        "<|scene_desc_end|>": 19,
        "<SE>": 22,
        "</SE_e>": 27,
        "<|reserved_special_token_247|>": 255,
    }
    tokens = special_tokens()
    assert len(tokens) == len(set(tokens)) == 256
    assert {token: tokens.index(token) for token in places} == places
    assert token_id("<|AUDIO_OUT|>", 128256) == 128016


@pytest.mark.parametrize("vocab_size", [512, 128256])
def test_tokenizer_keeps_every_byte_and_knows_its_tokens(vocab_size):
    tokenizer = build_tokenizer(vocab_size)
    assert tokenizer.get_vocab_size() == vocab_size
    text = "Größe: 漢字 🙂\n\n\tend.  "
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert len(ids) == len(text.encode())
    assert max(ids) < 256
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode("<|eot_id|>").ids == [
        token_id(token, vocab_size) for token in ("<|begin_of_text|>", "<|eot_id|>")
    ]


def test_transformers_runs_it_from_text_and_reference_to_sound(tiny, tmp_path, monkeypatch):
    install()
    monkeypatch.chdir(tmp_path)  # the codec is found from anywhere
    processor = AutoProcessor.from_pretrained(tiny)
    model: Any = HiggsAudioV2ForConditionalGeneration.from_pretrained(tiny, dtype=torch.float32)
    clip = 0.2 * torch.sin(torch.arange(3 * 960) * 0.05).numpy()
    inputs = processor.apply_chat_template(
        conversation("Über alles.", clip),
        tokenize=True,
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
        sampling_rate=24000,
    )
    expected = SYSTEM + SCENE + turn("user", "Reference.<|eot_id|>") + turn("assistant", CLIP)
    expected += turn("user", "Über alles.<|eot_id|>") + turn("assistant", "<|audio_out_bos|>")
    assert inputs["input_ids"][0].tolist() == build_tokenizer(512).encode(expected, add_special_tokens=False).ids
    assert inputs["audio_input_ids"].shape == (1, 12, 8)
    (audio,) = processor.batch_decode(model.generate(**inputs, max_new_tokens=30, do_sample=False))
    assert audio.shape[0] % 960 == 0
    assert 0.02 < audio.std() < 0.5


def test_template_refuses_what_the_model_was_not_made_for(tiny):
    install()
    processor = AutoProcessor.from_pretrained(tiny)
    messages = conversation("Hello.")
    with pytest.raises(Exception, match="must be the system message"):
        processor.apply_chat_template(messages[1:])
    with pytest.raises(Exception, match="must be an audio clip"):
        processor.apply_chat_template([*messages, {"role": "assistant", "content": "Hi."}])


def test_shards_are_no_larger_than_asked(tmp_path):
    write_language_model(tmp_path, SIZES["tiny"], 0, "transformers", EOS_RATE, "bfloat16", 1_200_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = sorted(tmp_path.glob("*.safetensors"))
    assert {file.name for file in files} == set(index["weight_map"].values())
    assert len(files) > 1
    assert all(file.stat().st_size < 1_200_000 + 20_000 for file in files)  # and the header


def test_command_line_refuses_an_impossible_chance(tmp_path):
    command = [sys.executable, "-m", "demo.make_checkpoint", str(tmp_path / "out"), "--eos-rate", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--eos-rate is 2.0" in result.stderr
    assert not (tmp_path / "out").exists()

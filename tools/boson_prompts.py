"""The prompts that Boson's own code makes of a list of scenarios, as token ids of bytes.

Writes the data of tests/text/test_boson_prompts.py. Run it again only when scenarios are added.
It needs the original implementation with a transformers release of that time, in its own environment, and a checkout of
the repository boson-ai/higgs-audio (commit f04f5df), whose `examples/generation.py` runs unchanged:

    python3.11 -m venv /tmp/boson && /tmp/boson/bin/pip install --no-deps boson-multimodal==0.1.1
    /tmp/boson/bin/pip install torch==2.13.0 transformers==4.46.3 numpy==1.26.4 setuptools \
        jieba==0.42.1 langid==1.1.6 librosa==0.11.0 loguru click pyyaml tqdm soundfile pandas dacite
    /tmp/boson/bin/python tools/boson_prompts.py <checkout>/examples/generation.py

It runs the script's `main`: its normalisation, chunks, messages and context, and boson_multimodal's
`prepare_chatml_sample`. A stub model that answers with a few frames replaces the 5.8 billion weights, and a stub codec
gives each clip a few frames; neither affects the text. The script lets the model begin the audio; as Boson's serve
engine does with `force_audio_gen`, each prompt here ends in <|audio_out_bos|>.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import librosa  # noqa: F401  looks for what is installed, and must not find the stand-ins below
import torch
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from demo.sizes import BYTE_VOCABULARY  # noqa: E402
from demo.tokenizer import build_tokenizer, write_text_side  # noqa: E402

MAX_POSITIONS = 4096
SCENARIOS = ROOT / "tests" / "text" / "data" / "boson_scenarios.json"
PROMPTS = SCENARIOS.with_name("boson_prompts.json")
FRAMES = 2  # of every clip and every part
# Imported by the original for its codec and its sound files, which nothing here needs.
UNUSED = ("torchaudio", "boson_multimodal.audio_processing.higgs_audio_tokenizer")


def original(script: Path) -> ModuleType:
    """Boson's generation script as a module."""
    for name in UNUSED:
        sys.modules[name] = MagicMock(name=name)
    spec = importlib.util.spec_from_file_location("generation", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def client(generation: Any, tokenizer: Any, prompts: list[list[int]]) -> type:
    """The script's client, with a model that only records its prompts."""

    class Client(generation.HiggsAudioModelClient):
        def __init__(self, **_: Any) -> None:
            self._device, self._use_static_kv_cache, self.kv_caches, self._max_new_tokens = "cpu", False, None, 8
            self._tokenizer = tokenizer
            self._config = SimpleNamespace(audio_codebook_size=1026, use_delay_pattern=True)
            self._audio_tokenizer = SimpleNamespace(codebook_size=1024, decode=lambda codes: codes.float().numpy())
            self._collator = generation.HiggsAudioSampleCollator(
                whisper_processor=None, encode_whisper_embed=False, return_audio_in_tokens=True, use_delay_pattern=True,
                audio_in_token_id=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
                audio_out_token_id=tokenizer.convert_tokens_to_ids("<|AUDIO_OUT|>"),
                pad_token_id=tokenizer.pad_token_id, audio_stream_bos_id=1024, audio_stream_eos_id=1025, round_to=1,
                audio_num_codebooks=8,
            )  # fmt: skip
            self._model = SimpleNamespace(generate=self._answer)

        def _answer(self, input_ids: Any, **_: Any) -> tuple[Any, list[Any]]:
            forced = tokenizer.convert_tokens_to_ids("<|audio_out_bos|>")
            prompts.append([*input_ids[0].tolist(), forced])
            return input_ids, [torch.ones((8, FRAMES + 2 + 7), dtype=torch.long)]

    return Client


def arguments(scenario: dict[str, Any], folder: Path) -> list[str]:
    """The script's command line; clips and profiles of the scenario are in its folder."""
    profiles = {}
    names = []
    for number, voice in enumerate(scenario.get("voices", [])):
        if "description" in voice:
            profiles[f"p{number}"] = voice["description"]
            names.append(f"profile:p{number}")
        else:
            (folder / "voice_prompts" / f"v{number}.txt").write_text(voice["words"])
            (folder / "voice_prompts" / f"v{number}.wav").touch()
            names.append(f"v{number}")
    (folder / "voice_prompts" / "profile.yaml").write_text(json.dumps({"profiles": profiles}))
    (folder / "scene.txt").write_text(scenario.get("scene", ""))
    words = ["--transcript", scenario["text"], "--out_path", str(folder / "out.wav"), "--device", "none"]
    words += ["--scene_prompt", str(folder / "scene.txt") if scenario.get("scene") else "empty"]
    if names:
        words += ["--ref_audio", ",".join(names)]
    if scenario.get("clips_in_system"):
        words += ["--ref_audio_in_system_message"]
    for option in ("chunk_method", "chunk_max_word_num", "generation_chunk_buffer_size"):
        if option in scenario:
            words += [f"--{option}", str(scenario[option])]
    return words


def conversation(generation: ModuleType, tokenizer: Any, messages: list[dict[str, str | None]]) -> list[int]:
    """The prompt of messages as the serve engine takes them; one without content is a clip."""
    made = [
        generation.Message(
            role=message["role"], content=message.get("content", generation.AudioContent(audio_url="placeholder"))
        )
        for message in messages
    ]
    ids, *_ = generation.prepare_chatml_sample(generation.ChatMLSample(messages=made), tokenizer)
    behind = "<|start_header_id|>assistant<|end_header_id|>\n\n<|audio_out_bos|>"
    return [*ids, *tokenizer.encode(behind, add_special_tokens=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the prompts of Boson's generation script for the scenarios.")
    parser.add_argument("script", type=Path, help="examples/generation.py of a checkout of boson-ai/higgs-audio")
    generation: Any = original(parser.parse_args().script)
    with tempfile.TemporaryDirectory() as name:
        write_text_side(Path(name), "", build_tokenizer(BYTE_VOCABULARY), MAX_POSITIONS)
        tokenizer = AutoTokenizer.from_pretrained(name)
    generation.load_higgs_audio_tokenizer = lambda *_, **__: SimpleNamespace(
        encode=lambda _: torch.ones((8, FRAMES), dtype=torch.long)
    )
    generation.sf = MagicMock(name="soundfile")  # nobody hears what was not spoken
    recorder = partial(client, generation, tokenizer)
    written = {}
    for scenario in json.loads(SCENARIOS.read_text()):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "voice_prompts").mkdir()
            generation.CURR_DIR = str(folder)
            prompts: list[list[int]] = []
            generation.HiggsAudioModelClient = recorder(prompts)
            if "messages" in scenario:
                prompts.append(conversation(generation, tokenizer, scenario["messages"]))
            else:
                generation.main.main(arguments(scenario, folder), standalone_mode=False)
        written[scenario["name"]] = prompts
    lines = (f"{json.dumps(name)}: {json.dumps(prompts, separators=(',', ':'))}" for name, prompts in written.items())
    PROMPTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(written)} scenarios, {sum(map(len, written.values()))} prompts")


if __name__ == "__main__":
    main()

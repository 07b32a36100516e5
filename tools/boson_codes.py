"""The codes that boson-multimodal 0.1.1's own tokenizer gives for clips; `tools/clip_lengths.py` starts it.

It needs older libraries than the bundle, so it runs in its own virtual environment:

    python3.11 -m venv /tmp/boson
    /tmp/boson/bin/pip install torch transformers==4.46.3 numpy==1.26.4 librosa einops omegaconf
    /tmp/boson/bin/pip install --no-deps boson_multimodal==0.1.1
    /tmp/boson/bin/python -m tools.boson_codes CODEC CLIPS.npz CODES.npz

CODEC is a folder in Boson's layout with a `hubert.json`, transformers' configuration of the semantic model, which
Boson's code would download. CLIPS.npz holds float32 [samples] by name, and so does CODES.npz int64 [codebooks, frames].
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.utils.parametrize

from convert.torchaudio_shim import install


def load(directory: Path) -> Any:
    """Boson's HiggsAudioTokenizer with the weights of `directory`; every tensor must be used."""
    install()
    # Imported by Boson's modules, and of no use to a codec with residual vector quantizers.
    stand_ins = {name: ModuleType(name) for name in ("audiotools", "audiotools.ml", "vector_quantize_pytorch")}
    stand_ins["audiotools"].__dict__["AudioSignal"] = object
    stand_ins["audiotools.ml"].__dict__["BaseModel"] = torch.nn.Module
    stand_ins["vector_quantize_pytorch"].__dict__["ResidualFSQ"] = object
    # Boson carries a `dac` of its own and imports the one that is installed.
    package: Any = importlib.util.find_spec("boson_multimodal")
    stand_ins["dac"] = ModuleType("dac")
    descript = Path(package.submodule_search_locations[0]) / "audio_processing" / "descriptaudiocodec" / "dac"
    stand_ins["dac"].__path__ = [str(descript)]
    sys.modules |= stand_ins
    from boson_multimodal.audio_processing import higgs_audio_tokenizer  # noqa: PLC0415
    from transformers import HubertConfig, HubertModel  # noqa: PLC0415

    hubert = HubertModel(HubertConfig(**json.loads((directory / "hubert.json").read_text())))
    higgs_audio_tokenizer.AutoModel.from_pretrained = lambda *_, **__: hubert
    # The checkpoint's weights are merged.
    torch.nn.utils.parametrize.remove_parametrizations(hubert.encoder.pos_conv_embed.conv, "weight")
    state = torch.load(directory / "model.pth", map_location="cpu")
    config = json.loads((directory / "config.json").read_text())

    # Boson's code knows the published widths only; these are the checkpoint's, everything else is as Boson wrote it.
    class Tokenizer(higgs_audio_tokenizer.HiggsAudioTokenizer):
        semantic_dim = encoder_semantic_dim = property(lambda _: hubert.config.hidden_size, lambda *_: None)

    dac = higgs_audio_tokenizer.dac2
    encoder, decoder = state["encoder.block.0.weight_g"].shape[0], state["decoder_2.model.0.weight_g"].shape[0]
    higgs_audio_tokenizer.dac2 = SimpleNamespace(
        Encoder=lambda _, ratios, size: dac.Encoder(encoder, ratios, size),
        Decoder=lambda size, _, ratios: dac.Decoder(size, decoder, ratios),
    )
    model = Tokenizer(**config, device="cpu")
    missing = model.load_state_dict(state, strict=False)
    unused = [name for name in missing.missing_keys if not name.startswith("decoder_semantic.")]
    if unused or missing.unexpected_keys:
        raise SystemExit(f"tensors without a place: {unused[:5]} are missing, {missing.unexpected_keys[:5]} left over")
    return model.eval()


def main() -> None:
    """Read the clips, write the codes."""
    torch.set_num_threads(1)
    directory, clips, codes = (Path(word) for word in sys.argv[1:])
    model = load(directory)
    rate = model.sampling_rate
    with np.load(clips) as arrays:
        found = {name: model.encode(arrays[name], rate).numpy() for name in arrays.files}
    np.savez(codes, **found)


if __name__ == "__main__":
    main()

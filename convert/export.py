"""Checkpoint to portable exports: every network written, compared with transformers, and recorded in `export.json`."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from convert.checkpoint import Checkpoint
from convert.codec import CodecConfig, load_codec
from convert.codec_export import export_decoder, export_encoder
from convert.codec_silence import silence_codes
from convert.errors import ModelLoadingError
from convert.hub import resolve
from convert.json_values import read_json
from convert.lm_formats import lm_format
from runtime.formats.exports import EXPORT_FILE, FORMAT, KNOWN_WORDS_FILE

_TOKENIZER_FILE, _PROCESSOR_FILE = "tokenizer.json", "processor_config.json"
_NAMES_CODEC = (_PROCESSOR_FILE, "*/config.json")  # and whether its folder lies in the checkpoint's own
_COMPILERS = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "numpy")


def export(
    source: str,
    output: Path,
    revision: str | None = None,
    codec: str | None = None,
    codec_revision: str | None = None,
    precision: str = "fp32",
    max_positions: int = 4096,
    fingerprint: str | None = None,
    lm_format_name: str = "onnx",
) -> None:
    """Write `lm/`, `codec/`, `tokenizer.json` and, last, `export.json` into `output`, replacing what was there.

    Raises:
        ModelLoadingError: something is wrong with the checkpoint.
        ExportError: an exported network differs from transformers by more than its tolerance, or the format of the
            language model (`lm_formats`) does not exist in this precision.
    """
    language_model = lm_format(lm_format_name, precision)
    _check_codec_revision(source, revision, codec, codec_revision)
    checkpoint = Checkpoint.open(source, revision, quantised=bool(language_model.quantised))
    if checkpoint.quantisation:
        language_model.check_quantised(source, checkpoint.quantisation, precision)
    tokenizer = checkpoint.directory / _TOKENIZER_FILE
    _check_tokenizer(tokenizer, checkpoint.config.vocab_size)
    codec_source = codec or codec_of(checkpoint.directory)
    fresh = output.with_name(output.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        print(f"exporting the codec {codec_source}", flush=True)
        codec_record = _export_codec(codec_source, codec_revision, checkpoint, fresh / "codec")
        print(
            f"exporting the language model {source} for {language_model.name} in {precision}, "
            "and comparing it with transformers",
            flush=True,
        )
        language_model.write(checkpoint, fresh / "lm", precision, max_positions)
        logits_error = language_model.check(checkpoint, fresh / "lm", precision)
        shutil.copyfile(tokenizer, fresh / _TOKENIZER_FILE)
        if (checkpoint.directory / KNOWN_WORDS_FILE).is_file():
            shutil.copyfile(checkpoint.directory / KNOWN_WORDS_FILE, fresh / KNOWN_WORDS_FILE)
        record: dict[str, Any] = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "checkpoint": {"source": source, "revision": revision, "files": checkpoint.file_hashes()},
            "language_model": {
                "format": language_model.name,
                "precision": precision,
                "logits_error": asdict(logits_error),
                "quantisation": checkpoint.quantisation and checkpoint.quantisation.described(),
            },
            "codec": codec_record,
            "generation": {
                "ras_win_len": checkpoint.config.ras_win_len,
                "ras_win_max_num_repeat": checkpoint.config.ras_win_max_num_repeat,
                "chunk_words": checkpoint.config.chunk_words,
                "dialogue_context": checkpoint.config.dialogue_context,
            },
            "versions": {package: version(package) for package in _COMPILERS},
        }
        (fresh / EXPORT_FILE).write_text(json.dumps(record, indent=2) + "\n")
    except BaseException:  # keep the previous exports; half of new ones would only waste disk space
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(output, ignore_errors=True)
    os.replace(fresh, output)


def _check_codec_revision(source: str, revision: str | None, codec: str | None, codec_revision: str | None) -> None:
    """Check that a codec on the hub has its revision, before the language model's gigabytes are fetched."""
    if codec_revision is not None:
        return
    folder = Path(source).expanduser()
    if codec is None and folder.is_dir() and not (folder / _PROCESSOR_FILE).is_file():
        return  # no checkpoint, or one that names no codec: opening it reports which
    named = codec or codec_of(resolve(source, revision, _NAMES_CODEC))
    if not Path(named).expanduser().is_dir():
        raise ModelLoadingError(
            f"The codec {named} is on the hub and needs a revision of its own: --codec-revision (make: CODEC_REVISION)."
        )


def _check_tokenizer(file: Path, vocab_size: int) -> None:
    """Check that it can be read, since only the serving prompt model does, and that every token has an embedding."""
    if not file.is_file():
        raise ModelLoadingError(f"{file} is missing; the prompt cannot be encoded without it.")
    try:
        tokens = Tokenizer.from_file(str(file)).get_vocab()
    except Exception as error:  # tokenizers has no exception class of its own for an unreadable file
        raise ModelLoadingError(f"{file} is damaged ({error}); download it again.") from error
    if not tokens:
        raise ModelLoadingError(f"{file} has no token; download it again.")
    token, last = max(tokens.items(), key=lambda item: item[1])
    if last >= vocab_size:
        raise ModelLoadingError(f"{file}: the token {token} has the id {last}, and the vocab_size is {vocab_size}.")


def codec_of(directory: Path) -> str:
    """The codec a checkpoint names in its processor_config.json: a folder beside it, or a hub id."""
    processor = directory / _PROCESSOR_FILE
    name = None
    if processor.is_file():
        name = (read_json(processor).get("audio_tokenizer") or {}).get("audio_tokenizer_name_or_path")
    if not name:
        raise ModelLoadingError(f"{directory} does not name its codec; give it with --codec.")
    beside = directory / Path(name).name
    return str(beside) if beside.is_dir() else str(name)


def _export_codec(source: str, revision: str | None, checkpoint: Checkpoint, directory: Path) -> dict[str, Any]:
    model = load_codec(source, revision)
    config = CodecConfig.from_model(model)
    if config.num_codebooks != checkpoint.config.num_codebooks:
        raise ModelLoadingError(
            f"the codec {source} has {config.num_codebooks} codebooks, "
            f"the language model {checkpoint.config.num_codebooks}."
        )
    codes = checkpoint.config.layout.first_special_id
    if config.codebook_size != codes:
        raise ModelLoadingError(f"the codec {source} has {config.codebook_size} codes, the language model {codes}.")
    directory.mkdir()
    decoder, encoder = directory / "decoder.onnx", directory / "encoder.onnx"
    return {
        "source": source,
        "revision": revision,
        "config": asdict(config),
        "decoder_error": asdict(export_decoder(model, decoder)),
        "encoder_error": asdict(export_encoder(model, encoder)),
        "silence_codes": silence_codes(config, encoder),
    }

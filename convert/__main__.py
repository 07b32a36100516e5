"""`python -m convert CHECKPOINT --output DIR`: exports a Higgs Audio V2 checkpoint, comparing it with transformers."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from pathlib import Path

from transformers.utils import logging as transformers_logging

from convert.errors import ExportError, ModelLoadingError
from convert.export import export
from convert.lm_formats import ALL_PRECISIONS, FORMATS
from runtime.formats.exports import EXPORT_FILE


def main(arguments: list[str] | None = None) -> int:
    """Convert and report the errors measured; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m convert", description=__doc__)
    parser.add_argument("checkpoint", help="folder or hub id of the language model")
    parser.add_argument("--output", type=Path, required=True, help="folder for the exports")
    parser.add_argument("--revision", help="commit of the hub repository; required for a hub id")
    parser.add_argument("--codec", help="folder or hub id of the codec; default: the one the checkpoint names")
    parser.add_argument("--codec-revision", help="commit of the codec's hub repository")
    parser.add_argument("--lm-format", choices=FORMATS, default="onnx", help="the engine that runs the language model")
    parser.add_argument("--precision", choices=ALL_PRECISIONS, default="fp32", help="of the linear layers' weights")
    parser.add_argument("--max-positions", type=int, default=4096, help="prompt plus generated columns of one stream")
    parser.add_argument("--fingerprint", help="recorded in export.json, to check whether the export is up to date")
    options = parser.parse_args(arguments)
    _silence_libraries()
    try:
        export(
            options.checkpoint,
            options.output,
            options.revision,
            options.codec,
            options.codec_revision,
            options.precision,
            options.max_positions,
            options.fingerprint,
            options.lm_format,
        )
    except (ModelLoadingError, ExportError) as error:
        print(f"convert: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # typically a full disk, where the error names no file
        print(f"convert: {error.strerror or error}: {error.filename or options.output}", file=sys.stderr)
        return 1
    record = json.loads((options.output / EXPORT_FILE).read_text())
    language_model, codec = record["language_model"], record["codec"]
    logits, quantised = language_model["logits_error"], language_model["quantisation"]
    meant = f" with the values that the {quantised['method']} weights stand for" if quantised else ""
    print(
        f"{options.output}: against transformers{meant}, logits are at most {logits['maximum']:.1e} standard "
        f"deviations off, decoded audio {codec['decoder_error']['relative']:.1e}, "
        f"and {codec['encoder_error']['equal_codes']:.0%} of the encoder's codes are equal"
    )
    return 0


def _silence_libraries() -> None:
    """Hide what torch and transformers log about their internals while exporting; errors still come through."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


if __name__ == "__main__":
    sys.exit(main())

"""The words of the command line."""

import argparse
from dataclasses import fields
from pathlib import Path

from . import __version__
from .client import CHUNK_TIMEOUT, DEFAULT_URL, FIRST_CHUNK_TIMEOUT
from .params import GenerationParams

STANDARD_STREAM = "-"

DESCRIPTION = "Speak a text through a Triton server that runs the Higgs Audio V2 bundle."
EXAMPLES = """examples:
  higgs-tts "Good morning." -o morning.wav --voice belinda
  fortune | higgs-tts -o - | aplay -f S16_LE -r 24000
  higgs-tts --text-file chapter.txt -o chapter.flac --reference me.wav --reference-text "What I say there."
"""


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The parsed command line; exits with status 2 and a usage line when it makes no sense.

    Every field of GenerationParams is there under its own name.
    """
    parser = _parser()
    arguments = parser.parse_args(words)
    if arguments.text is not None and arguments.text_file is not None:
        parser.error("give the text either as an argument or with --text-file")
    if arguments.reference_text is not None and arguments.reference is None:
        parser.error("--reference-text needs --reference")
    if arguments.json and arguments.output == STANDARD_STREAM:
        parser.error("--json and -o - both want standard output")
    return arguments


def generation_params(arguments: argparse.Namespace) -> GenerationParams:
    """The generation options among the parsed arguments."""
    return GenerationParams(**{field.name: getattr(arguments, field.name) for field in fields(GenerationParams)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "higgs-tts",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    add = parser.add_argument
    add("text", nargs="?", help="what to say; - or nothing reads standard input")
    add("--text-file", type=Path, metavar="FILE", help="read the text from a file (UTF-8)")
    add("-o", "--output", default="speech.wav", metavar="FILE",
        help="wav, flac, ogg or mp3 by its extension; - writes raw 16-bit mono PCM to standard output "
             "(default: %(default)s)")  # fmt: skip
    add("--keep-partial", action="store_true", help="keep the audio so far when interrupted or on an error")

    voice = parser.add_argument_group("voice").add_argument
    voice("--voice", metavar="NAME", help="voice profile on the server")
    voice("--reference", metavar="FILE", help="recording whose voice to take")
    voice("--reference-text", metavar="TEXT", help="the words spoken in the recording")

    generation = parser.add_argument_group("generation (unset: the server's choice)").add_argument
    generation("--preset", metavar="NAME", help="high_quality, balanced or fast_generation")
    generation("--temperature", type=float, metavar="T", help="0 takes the most likely code")
    generation("--top-k", type=int, metavar="K", help="draw from the K most likely codes")
    generation("--top-p", type=float, metavar="P", help="draw from the most likely codes that add up to P")
    generation("--ras-window", type=int, metavar="FRAMES", help="look-back of repetition-aware sampling; 0: off")
    generation("--ras-max-repeats", type=int, metavar="N", help="repeats in the window before a code is drawn again")
    generation("--seed", type=int, metavar="N", help="the same text and seed give the same audio")
    generation("--max-seconds", type=float, metavar="S", help="longest audio")
    generation("--first-chunk-seconds", type=float, metavar="S", help="length of the first chunk")
    generation("--chunk-growth", type=float, metavar="X", help="factor from one chunk's length to the next")
    generation("--max-chunk-seconds", type=float, metavar="S", help="length of the longest chunk")
    generation("--timeout-seconds", type=float, metavar="S", help="longest generation")
    generation("--scene", metavar="TEXT", help="description of the recording's surroundings")

    server = parser.add_argument_group("server").add_argument
    server(
        "--url",
        default=DEFAULT_URL,
        metavar="HOST:PORT",
        help="Triton's gRPC endpoint (default: %(default)s)",
    )
    server("--chunk-timeout", type=float, default=CHUNK_TIMEOUT, metavar="S",
           help="longest silence between two chunks (default: %(default)g)")  # fmt: skip
    server("--first-chunk-timeout", type=float, default=FIRST_CHUNK_TIMEOUT, metavar="S",
           help="longest wait for the first chunk (default: %(default)g)")  # fmt: skip

    report = parser.add_argument_group("report").add_argument
    report("--quiet", action="store_true", help="no progress bar and no summary")
    report("--json", action="store_true", help="the summary as JSON on standard output")
    return parser

"""The words of the command line."""

import argparse
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from . import __version__
from .batch import RETRIES, STREAMS
from .client import CHUNK_TIMEOUT, DEFAULT_URL, FIRST_CHUNK_TIMEOUT
from .manifest import OPTION_TYPES
from .params import GenerationParams

STANDARD_STREAM = "-"

DESCRIPTION = "Speak a text through a Triton server that runs the Higgs Audio V2 bundle."
EXAMPLES = """examples:
  higgs-tts "Good morning." -o morning.wav --voice slt
  fortune | higgs-tts -o - | aplay -f S16_LE -r 24000
  higgs-tts --text-file chapter.txt -o chapter.flac --reference me.wav --reference-text "What I say there."
  higgs-tts --text-file dialogue.txt --speaker Anna=slt --speaker Bob=awb -o dialogue.wav
  higgs-tts batch manifest.jsonl --out speech
  higgs-tts voices list
"""
BATCH = "batch"
BATCH_DESCRIPTION = """Speak every line of a manifest into an audio file of its own. The same command goes on where
a run was ended, and tries again what failed. (To speak the one word "batch": higgs-tts -- batch)"""
BATCH_MANIFEST = """the manifest holds one JSON object a line:
  {"text": "Good morning.", "voice": "slt"}
  {"text": "Ein Satz.", "id": "de-0001", "reference": "me.wav", "reference_text": "What I say there.", "seed": 7}

text             what to say; the only key that must be there
id               name of the audio file; else made from what the line says
voice            voice profile on the server
reference        recording whose voice to take, by a path from the manifest's folder
reference_text   the words spoken in the recording
further keys     %s

Each finished item adds a line to results.jsonl in the folder; the last line with an id holds.
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


def parse_batch_arguments(words: list[str]) -> argparse.Namespace:
    """The command line after the word `batch`; exits with status 2 and a usage line when it makes no sense."""
    parser = argparse.ArgumentParser(
        f"higgs-tts {BATCH}",
        description=BATCH_DESCRIPTION,
        epilog=BATCH_MANIFEST % ", ".join(OPTION_TYPES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("manifest", type=Path, help="what to say: JSON Lines, UTF-8")
    add(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the audio and results.jsonl; made if missing"
    )
    add("--format", default="wav", choices=("wav", "flac", "ogg", "mp3"), help="of the audio (default: %(default)s)")
    add("--streams", type=_at_least(1), default=STREAMS, metavar="N",
        help="items in flight at once; fewer when the server is full (default: %(default)s)")  # fmt: skip
    add("--retries", type=_at_least(0), default=RETRIES, metavar="N",
        help="further attempts for an item that failed (default: %(default)s)")  # fmt: skip
    # Parts are held until they are whole, so a chunk may be as late as the first one.
    _add_server(parser, chunk_timeout=FIRST_CHUNK_TIMEOUT)
    _add_report(parser, "the result of every item as a line of JSON on standard output, in the manifest's order")
    return parser.parse_args(words)


class _Speaker(argparse.Action):
    """Collects NAME=VOICE words into a mapping."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        name, equals, voice = values.partition("=")
        if not (name.strip() and equals and voice.strip()):
            parser.error(f"{option_string} {values!r} is not NAME=VOICE")
        speakers = getattr(namespace, self.dest) or {}
        setattr(namespace, self.dest, {**speakers, name.strip(): voice.strip()})


def _lexicon(file: str) -> dict[str, str]:
    """The JSON object in a file."""
    try:
        words = json.loads(Path(file).read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(words, dict) or not all(isinstance(reading, str) for reading in words.values()):
        raise argparse.ArgumentTypeError(f'{file} must hold an object of words and readings, as {{"Higgs": "higz"}}')
    return words


def _at_least(least: int) -> Callable[[str], int]:
    """A type of argument. Its name is what argparse calls a wrong value."""

    def whole_number(word: str) -> int:
        if int(word) < least:
            raise argparse.ArgumentTypeError(f"{word} is too few; {least} is least")
        return int(word)

    return whole_number


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
    generation(
        "--max-part-seconds", type=float, metavar="S", help="longest turn of a dialogue, or chunk of a long text"
    )
    generation("--first-chunk-seconds", type=float, metavar="S", help="length of the first chunk")
    generation("--chunk-growth", type=float, metavar="X", help="factor from one chunk's length to the next")
    generation("--max-chunk-seconds", type=float, metavar="S", help="length of the longest chunk")
    generation("--timeout-seconds", type=float, metavar="S", help="longest generation")
    generation("--language", metavar="CODE", help="en, zh, es or fr; else it is detected")
    generation("--system", metavar="TEXT", help='what the model is told to do, instead of the usual; "" for nothing')
    generation("--scene", metavar="TEXT", help="description of the recording's surroundings")
    generation("--reference-place", metavar="NAME",
               help="turns or system: clips in turns of their own, or in the system message")  # fmt: skip
    generation("--no-runaway-guard", dest="runaway_guard", action="store_const", const=False,
               help="let a part go on that is far too long, loops or falls silent")  # fmt: skip
    generation(
        "--max-retries", type=int, metavar="N", help="further attempts at a part that ran away or came to nothing"
    )
    generation("--hold-parts", action="store_const", const=True,
               help="send a part only when it is known to be good, so that it can always be tried again")  # fmt: skip

    long = parser.add_argument_group("dialogue and long text (unset: the server's choice)").add_argument
    long("--speaker", dest="speakers", action=_Speaker, metavar="NAME=VOICE",
         help="voice of a speaker of the transcript: a profile, or feminine or masculine; once for each")  # fmt: skip
    generation("--lexicon", type=_lexicon, metavar="FILE",
               help='readings of your own, a JSON file as {"Higgs": "higz"}: whole words, case as written')  # fmt: skip
    long("--dialogue", metavar="WHEN", help="on or off: labels such as `Anna:` name speakers, or none does; or auto")
    long(
        "--chunk-method", metavar="NAME", help="auto, speaker, fixed, semantic or none: how the text is cut into parts"
    )
    long("--chunk-words", type=int, metavar="N", help="about how many words a part may have")
    long("--context-parts", type=int, metavar="N", help="the most parts that the next one is spoken in view of")
    long("--dialogue-context", metavar="NAME",
         help="all or own: whether turns see all voices and turns or only their own speaker's")  # fmt: skip
    long("--pause-seconds", type=float, metavar="S", help="silence between two parts")
    long("--paragraph-pause-seconds", type=float, metavar="S", help="the same where a paragraph or a turn ends")

    _add_server(parser)
    _add_report(parser, "the summary as JSON on standard output")
    return parser


def _add_server(parser: argparse.ArgumentParser, chunk_timeout: float = CHUNK_TIMEOUT) -> None:
    server = parser.add_argument_group("server").add_argument
    server(
        "--url",
        default=DEFAULT_URL,
        metavar="HOST:PORT",
        help="Triton's gRPC endpoint (default: %(default)s)",
    )
    server("--chunk-timeout", type=float, default=chunk_timeout, metavar="S",
           help="longest silence between two chunks (default: %(default)g)")  # fmt: skip
    server("--first-chunk-timeout", type=float, default=FIRST_CHUNK_TIMEOUT, metavar="S",
           help="longest wait for the first chunk (default: %(default)g)")  # fmt: skip


def _add_report(parser: argparse.ArgumentParser, json_help: str) -> None:
    report = parser.add_argument_group("report").add_argument
    report("--quiet", action="store_true", help="no progress bar and no summary")
    report("--json", action="store_true", help=json_help)

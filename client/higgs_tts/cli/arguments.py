"""Command-line parsing: speaking a text, and the commands `batch` and `voices`."""

import argparse
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import __version__
from ..base import CHUNK_TIMEOUT, DEFAULT_URL, FIRST_CHUNK_TIMEOUT
from ..captions import FORMATS
from ..params import GenerationParams
from .files import Place, place
from .manifest import OPTION_TYPES, Shard
from .servers import RETRIES, STREAMS

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
USAGE = """higgs-tts [option ...] [text]
       higgs-tts {batch,voices} ..."""
COMMANDS = """batch   speak every line of a manifest into an audio file of its own
voices  list, show, add, import, export and remove the server's voices
`higgs-tts COMMAND --help` tells more; `higgs-tts -- batch` speaks the word."""
BATCH_DESCRIPTION = """Speak every line of a manifest into an audio file of its own. Run the same command again to
continue an interrupted run and retry what failed."""
BATCH_MANIFEST = """the manifest holds one JSON object a line:
  {"text": "Good morning.", "voice": "slt"}
  {"text": "Ein Satz.", "id": "de-0001", "reference": "me.wav", "reference_text": "What I say there.", "seed": 7}

text             what to say; the only required key
id               name of the audio file; by default a hash of the line's content
voice            voice profile on the server
reference        recording whose voice to take, relative to the manifest's folder, or a whole address
reference_text   the words spoken in the recording
further keys     %s

Each finished item adds a line to results.jsonl in the folder; the last line with an id counts. In a bucket the audio
files' metadata say as much.
"""
VOICES_EXAMPLES = """examples:
  higgs-tts voices list
  higgs-tts voices show slt -o slt.wav
  higgs-tts voices add me --reference me.flac --reference-text "What I say there." --language en --gender female
  higgs-tts voices add narrator --description "A calm, deep voice with a British accent."
  higgs-tts voices import ~/voices
  higgs-tts voices export s3://speech/voices me narrator
  higgs-tts voices remove me
"""
VOICES_IMPORT = """Add every voice of a folder: NAME.wav (or flac, ogg, mp3) with NAME.txt and optionally NAME.json with
metadata; profile.yaml with `profiles: {NAME: description}`; config.json with {NAME: {"transcript", "audio_file"}}.
Voices that already exist are left alone unless --replace is given."""
VOICES_EXPORT = """Write voices into a folder: files that import reads, clips as the server has them. Voices that are
there already are left alone unless --replace is given."""

_METAVARS = {"seconds": "S", "frames": "FRAMES", "words": "N", "characters": "TEXT"}


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The parsed command line; exits with status 2 and a usage line when it makes no sense.

    `command` is `batch`, `voices`, or None to speak; then every field of GenerationParams is present by name.
    """
    commands = {"batch": _batch_parser, "voices": _voices_parser}
    command = words[0] if words and words[0] in commands else None
    parser = commands[command]() if command else _speak_parser()
    arguments = parser.parse_args(words[1:] if command else words)
    arguments.command = command
    given = vars(arguments)
    if command == "batch":
        arguments.url = arguments.url or [DEFAULT_URL]
    if given.get("text") is not None and given["text_file"] is not None:
        parser.error("give the text either as an argument or with --text-file")
    if given.get("reference_text") is not None and given["reference"] is None:
        parser.error("--reference-text needs --reference")
    if given.get("action") == "add" and (given["reference"] is None) != (given["reference_text"] is None):
        parser.error("--reference and --reference-text come together")
    if arguments.json and given.get("output") == STANDARD_STREAM and command is None:
        parser.error("--json and -o - both want standard output")
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        parser.error("--tls-cert and --tls-key come together")
    for name, least in (("streams", 1), ("retries", 0)):
        if given.get(name, least) < least:
            parser.error(f"--{name} must be at least {least}, not {given[name]}")
    return arguments


def generation_params(arguments: argparse.Namespace) -> GenerationParams:
    """The generation options among the parsed arguments."""
    return GenerationParams(**{field.name: getattr(arguments, field.name) for field in fields(GenerationParams)})


class _Pairs(argparse.Action):
    """Collects NAME=VALUE words into a mapping."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        name, equals, value = values.partition("=")
        if not (name.strip() and equals and value.strip()):
            parser.error(f"{option_string} {values!r} is not {self.metavar}")
        pairs = getattr(namespace, self.dest) or {}
        setattr(namespace, self.dest, {**pairs, name.strip(): value.strip()})


def _lexicon(file: str) -> dict[str, str]:
    """The JSON object in a file."""
    try:
        words = json.loads(Path(file).read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(words, dict) or not all(isinstance(reading, str) for reading in words.values()):
        raise argparse.ArgumentTypeError(f'{file} must hold an object of words and readings, as {{"Higgs": "higz"}}')
    return words


def _place(words: str) -> Place:
    if not words.removeprefix("file://"):
        raise argparse.ArgumentTypeError("it is empty; give a path or s3://bucket/…")
    return place(words)


def _shard(words: str) -> Shard:
    index, _, count = words.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"{words!r} is no shard: they are counted from 0, so give 0/4 to 3/4 for four")
    return Shard(int(index), int(count))


def _captions_file(name: str) -> Path:
    if Path(name).suffix not in FORMATS:
        raise argparse.ArgumentTypeError(f"captions cannot be written to {name!r}: end its name in .srt, .vtt or .json")
    return Path(name)


def _new_parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        name, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _speak_parser() -> argparse.ArgumentParser:
    parser = _new_parser("higgs-tts", DESCRIPTION, EXAMPLES)
    parser.usage = USAGE
    parser.add_argument_group("commands", COMMANDS)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    add = parser.add_argument
    add("text", nargs="?", help="what to say; - or nothing reads standard input")
    add("--text-file", type=Path, metavar="FILE", help="read the text from a file (UTF-8)")
    add("-o", "--output", default="speech.wav", metavar="FILE",
        help="wav, flac, ogg or mp3 by its extension; - writes raw 16-bit mono PCM to standard output "
             "(default: %(default)s)")  # fmt: skip
    add("--captions", type=_captions_file, metavar="FILE",
        help="captions, by an estimate of when each word is heard: srt, vtt, or json by its extension")  # fmt: skip
    add("--keep-partial", action="store_true", help="keep the audio so far when interrupted or on an error")
    add("--no-resume", dest="resume", action="store_false",
        help="end with an error when a stream breaks, instead of asking again for the rest")  # fmt: skip
    _add_generation(parser)
    _add_server(parser)
    _add_run(parser, "the summary as JSON on standard output")
    return parser


def _batch_parser() -> argparse.ArgumentParser:
    parser = _new_parser("higgs-tts batch", BATCH_DESCRIPTION, BATCH_MANIFEST % ", ".join(OPTION_TYPES))
    add = parser.add_argument
    add("manifest", type=_place, help="what to say: JSON Lines, UTF-8; a file, or s3://bucket/name")
    add("--out", type=_place, required=True, metavar="DIR",
        help="folder for audio and results.jsonl, made if missing; or s3://bucket/prefix, gs://… or az://…, which "
             "several batches may fill at a time")  # fmt: skip
    add("--format", default="wav", choices=("wav", "flac", "ogg", "mp3"), help="of the audio (default: %(default)s)")
    add("--streams", type=int, default=STREAMS, metavar="N",
        help="items in flight at once on each server; fewer when it is full (default: %(default)s)")  # fmt: skip
    add("--retries", type=int, default=RETRIES, metavar="N",
        help="retries for an item that failed (default: %(default)s)")  # fmt: skip
    add("--shard", type=_shard, default=Shard(), metavar="I/N",
        help="speak only the I-th of N parts of the manifest, counted from 0: of four, 0/4 to 3/4")  # fmt: skip
    add("--parquet", type=_place, metavar="FILE",
        help="write the results as a table at the end; a file, or s3://bucket/name")  # fmt: skip
    _add_server(parser, several=True)
    # Parts are held until they are whole, so a chunk may be as late as the first one.
    _add_run(parser, "every item's result as a line of JSON, in the manifest's order", FIRST_CHUNK_TIMEOUT)
    return parser


def _voices_parser() -> argparse.ArgumentParser:
    parser = _new_parser("higgs-tts voices", "Manage the voice profiles of a server.", VOICES_EXAMPLES)
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|add|import|export|remove")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text.partition(":")[0], description=text)
        _add_server(made)
        made.add_argument("--json", action="store_true", help="answer as JSON on standard output")
        return made

    action("list", "List the server's voices")

    show = action("show", "Show a voice's profile and fetch its clip")
    show.add_argument("name")
    show.add_argument("-o", "--output", metavar="FILE", help="write its clip: wav, flac, ogg or mp3 by its extension")

    add = action("add", "Store a voice on the server: a recording with its words, or a description")
    add.add_argument("name")
    add.add_argument("--reference", metavar="FILE", help="recording of the voice")
    add.add_argument("--reference-text", metavar="TEXT", help="the words spoken in the recording")
    add.add_argument("--description", metavar="TEXT", help="how the voice sounds; required without a recording")
    add.add_argument("--language", metavar="CODE", help="such as en")
    add.add_argument("--gender", metavar="WORD", help="such as female or male")
    add.add_argument("--metadata", type=Path, metavar="FILE", help="further metadata: a JSON object")
    add.add_argument("--replace", action="store_true", help="replace an added voice of this name")

    load = action("import", VOICES_IMPORT)
    load.add_argument("folder", help="a folder, or s3://bucket/prefix")
    load.add_argument("--replace", action="store_true", help="replace added voices of these names")

    save = action("export", VOICES_EXPORT)
    save.add_argument("folder", help="a folder, or s3://bucket/prefix; made if missing")
    save.add_argument("name", nargs="*", help="voices; default: all")
    save.add_argument("--replace", action="store_true", help="replace voices of these names")

    action("remove", "Remove added voices").add_argument("name", nargs="+")
    return parser


def _add_generation(parser: argparse.ArgumentParser) -> None:
    voice = parser.add_argument_group("voice").add_argument
    voice("--voice", metavar="NAME", help="voice profile on the server")
    voice("--reference", metavar="FILE", help="recording whose voice to take")
    voice("--reference-text", metavar="TEXT", help="the words spoken in the recording")

    generation = parser.add_argument_group("generation (unset: the server's choice)").add_argument
    for field in fields(GenerationParams):
        _add_option(generation, field.name, **field.metadata)


def _add_option(add: Callable[..., Any], name: str, meaning: str, unit: str, on: bool | None) -> None:
    """The flag of one field of GenerationParams."""
    flag, text = f"--{name.replace('_', '-')}", meaning.replace("%", "%%")
    if name == "speakers":
        add("--speaker", dest=name, action=_Pairs, metavar="NAME=VOICE", help=f"{text} Once for each.")
    elif name == "lexicon":
        add(flag, type=_lexicon, metavar="FILE", help=f'{text} A JSON file as {{"Higgs": "higz"}}.')
    elif on is not None:  # the flag inverts the default
        add(f"--no-{flag[2:]}" if on else flag, dest=name, action="store_const", const=not on,
            help=f"Do not: {text}" if on else text)  # fmt: skip
    else:
        kind = OPTION_TYPES[name]
        add(flag, type=kind if kind in (int, float) else str, metavar=_METAVARS.get(unit, "VALUE"), help=text)


def _add_server(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    server = parser.add_argument_group("server").add_argument
    if several:
        server("--url", action="append", metavar="HOST:PORT",
               help=f"Triton's gRPC endpoint, or a name of several; once for each server (default: {DEFAULT_URL})",
               )  # fmt: skip
    else:
        server("--url", default=DEFAULT_URL, metavar="HOST:PORT",
               help="Triton's gRPC endpoint; several: with commas, or dns:///NAME:PORT (default: %(default)s)",
               )  # fmt: skip
    server("--tls", action="store_true", help="encrypt the connection; the options below imply it (default: plain)")
    server("--tls-root", type=Path, metavar="FILE", help="PEM: certificates to trust instead of the system's")
    server("--tls-cert", type=Path, metavar="FILE", help="PEM: the client's own certificate, with --tls-key")
    server("--tls-key", type=Path, metavar="FILE", help="PEM: the private key of --tls-cert")
    server("--header", dest="headers", action=_Pairs, default={}, metavar="NAME=VALUE",
           help="metadata of every gRPC call, for a proxy on the way; once for each")  # fmt: skip
    server("--token-file", type=Path, metavar="FILE", help="send the bearer token in this file with every gRPC call")


def _add_run(parser: argparse.ArgumentParser, json_help: str, chunk_timeout: float = CHUNK_TIMEOUT) -> None:
    add = parser.add_argument_group("timeouts and report").add_argument
    add("--chunk-timeout", type=float, default=chunk_timeout, metavar="S",
        help="longest silence between two chunks (default: %(default)g)")  # fmt: skip
    add("--first-chunk-timeout", type=float, default=FIRST_CHUNK_TIMEOUT, metavar="S",
        help="longest wait for the first chunk (default: %(default)g)")  # fmt: skip
    add("--quiet", action="store_true", help="no progress bar and no summary")
    add("--json", action="store_true", help=json_help)

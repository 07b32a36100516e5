"""The words of `higgs-tts voices`."""

import argparse
from pathlib import Path

from .client import DEFAULT_URL

VOICES = "voices"
DESCRIPTION = """Look after the voice profiles of a server. (To speak the one word "voices": higgs-tts -- voices)"""
EXAMPLES = """examples:
  higgs-tts voices list
  higgs-tts voices show slt -o slt.wav
  higgs-tts voices add me --reference me.flac --reference-text "What I say there." --language en --gender female
  higgs-tts voices add narrator --description "A calm, deep voice with a British accent."
  higgs-tts voices import ~/voices
  higgs-tts voices remove me
"""
IMPORT = """Add every voice of a folder: NAME.wav (or flac, ogg, mp3) with NAME.txt and optionally NAME.json with
metadata; profile.yaml with `profiles: {NAME: description}`; config.json with {NAME: {"transcript", "audio_file"}}.
Voices that are there already are left alone unless --replace is given."""


def parse_voices_arguments(words: list[str]) -> argparse.Namespace:
    """The command line after the word `voices`; exits with status 2 and a usage line when it makes no sense."""
    parser = argparse.ArgumentParser(
        f"higgs-tts {VOICES}",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|show|add|import|remove")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text.partition(":")[0], description=text)
        made.add_argument("--url", default=DEFAULT_URL, metavar="HOST:PORT",
                          help="Triton's gRPC endpoint (default: %(default)s)")  # fmt: skip
        made.add_argument("--json", action="store_true", help="answer as JSON on standard output")
        return made

    command("list", "Name the server's voices")

    show = command("show", "Say what is known of a voice, and fetch its clip")
    show.add_argument("name")
    show.add_argument("-o", "--output", metavar="FILE", help="write its clip: wav, flac, ogg or mp3 by its extension")

    add = command("add", "Have the server keep a voice: a recording with its words, or a description")
    add.add_argument("name")
    add.add_argument("--reference", metavar="FILE", help="recording of the voice")
    add.add_argument("--reference-text", metavar="TEXT", help="the words spoken in the recording")
    add.add_argument("--description", metavar="TEXT", help="how the voice sounds; without a recording it must be there")
    add.add_argument("--language", metavar="CODE", help="such as en")
    add.add_argument("--gender", metavar="WORD", help="such as female or male")
    add.add_argument("--metadata", type=Path, metavar="FILE", help="further metadata: a JSON object")
    add.add_argument("--replace", action="store_true", help="take the place of an added voice of this name")

    load = command("import", IMPORT)
    load.add_argument("folder", type=Path)
    load.add_argument("--replace", action="store_true", help="take the place of added voices of these names")

    command("remove", "Remove added voices").add_argument("name", nargs="+")

    arguments = parser.parse_args(words)
    if arguments.command == "add" and (arguments.reference is None) != (arguments.reference_text is None):
        parser.error("--reference and --reference-text come together")
    return arguments

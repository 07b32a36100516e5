"""Runs `higgs-tts voices`: one line per voice, or JSON."""

import json
import sys
from argparse import Namespace
from typing import Any

from ..audio import Reference
from ..client import HiggsClient
from ..errors import HiggsError, InvalidRequestError
from ..voices import VoiceProfile
from .voice_folder import read_metadata, read_voice_folder
from .voice_place import shelf_at, voices_of

FAILED = 1
_TRANSCRIPT_SHOWN = 50  # characters in a list


def look_after_voices(client: HiggsClient, arguments: Namespace) -> int:
    """Do one action; return the exit status: 0, or 1 when some of several voices failed.

    Raises HiggsError and OSError when a single voice fails.
    """
    actions = {"list": _list, "show": _show, "add": _add, "import": _import, "export": _export, "remove": _remove}
    return actions[arguments.action](client, arguments)


def _list(client: HiggsClient, arguments: Namespace) -> int:
    voices = client.voices()
    if arguments.json:
        print(json.dumps([_summary(voice) for voice in voices], ensure_ascii=False))
        return 0
    width = max((len(voice.name) for voice in voices), default=0)
    for voice in voices:
        print(f"{voice.name:{width}}  {voice.origin:6}  {_what(voice)}")
    return 0


def _show(client: HiggsClient, arguments: Namespace) -> int:
    voice = client.voice(arguments.name)
    if arguments.output is not None:
        voice.save(arguments.output)
    if arguments.json:
        print(json.dumps(_summary(voice), ensure_ascii=False))
        return 0
    codes = "not encoded yet" if voice.embedding is None else "{} x {}".format(*voice.embedding.shape)
    facts = {"name": voice.name, "from": voice.origin}
    if voice.audio_path is not None:
        clip = f"{voice.audio_path}, {voice.seconds:.2f} s"
        facts |= {"clip": clip, "transcript": voice.transcript, "codes": codes}
    facts |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in voice.metadata.items()}
    for key, value in facts.items():
        print(f"{key}: {' '.join(value.split())}")
    return 0


def _add(client: HiggsClient, arguments: Namespace) -> int:
    metadata = read_metadata(arguments.metadata) if arguments.metadata else {}
    for key in ("language", "gender", "description"):
        if getattr(arguments, key) is not None:
            metadata[key] = getattr(arguments, key)
    reference = Reference(arguments.reference, arguments.reference_text) if arguments.reference else None
    voice = client.add_voice(arguments.name, reference, metadata=metadata, replace=arguments.replace)
    _print_added([voice], arguments)
    return 0


def _import(client: HiggsClient, arguments: Namespace) -> int:
    there = {voice.name for voice in client.voices()}
    added, failed = [], 0
    with voices_of(arguments.folder) as folder:
        for files in read_voice_folder(folder):
            if files.name in there and not arguments.replace:
                print(f"higgs-tts: {files.name} already exists", file=sys.stderr)
                continue
            try:
                reference = Reference(files.audio, files.transcript) if files.audio else None
                voice = client.add_voice(files.name, reference, metadata=files.metadata, replace=arguments.replace)
                added.append(voice)
            except HiggsError as error:
                failed += 1
                _print_failed(files.name, error)
    _print_added(added, arguments)
    return FAILED if failed else 0


def _export(client: HiggsClient, arguments: Namespace) -> int:
    names = list(dict.fromkeys(arguments.name)) or [voice.name for voice in client.voices()]
    written, failed = [], 0
    with shelf_at(arguments.folder) as shelf:
        for name in names:
            if name in shelf.there and not arguments.replace:
                print(f"higgs-tts: {name} already exists", file=sys.stderr)
                continue
            try:
                voice = client.voice(name)
                shelf.put(voice)
                written.append(voice)
            except HiggsError as error:
                failed += 1
                _print_failed(name, error)
    _print_added(written, arguments)
    return FAILED if failed else 0


def _remove(client: HiggsClient, arguments: Namespace) -> int:
    failed = 0
    for name in arguments.name:
        try:
            client.remove_voice(name)
        except InvalidRequestError as error:
            failed += 1
            print(f"higgs-tts: {error}", file=sys.stderr)
    return FAILED if failed else 0


def _print_failed(name: str, error: HiggsError) -> None:
    print(f"higgs-tts: {name}: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)


def _print_added(voices: list[VoiceProfile], arguments: Namespace) -> None:
    if arguments.json:
        print(json.dumps([_summary(voice) for voice in voices], ensure_ascii=False))
        return
    for voice in voices:
        print(f"{voice.name}: {_what(voice)}")


def _what(voice: VoiceProfile) -> str:
    """The clip and the first of its words, or the first words of the description."""
    words = " ".join((voice.transcript or str(voice.metadata.get("description", ""))).split())
    shown = words if len(words) <= _TRANSCRIPT_SHOWN else words[: _TRANSCRIPT_SHOWN - 1] + "…"
    return f"{voice.seconds:5.2f} s  {shown}" if voice.audio_path else f"described: {shown}"


def _summary(voice: VoiceProfile) -> dict[str, Any]:
    told = {
        name: getattr(voice, name) for name in ("name", "origin", "audio_path", "seconds", "transcript", "metadata")
    }
    return {**told, "embedding": None if voice.embedding is None else voice.embedding.tolist()}

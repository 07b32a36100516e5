"""Runs the command line: text in, audio out as it arrives, one line of summary or of error."""

import json
import math
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any, NoReturn

import grpc
from tqdm import tqdm

from ..audio import Reference
from ..captions import captions
from ..client import HiggsClient
from ..errors import HiggsError, InvalidRequestError
from ..pcm import AudioFile, PcmStream, audio_format
from ..speech import AudioChunk, Speech
from .arguments import STANDARD_STREAM, generation_params, parse_arguments
from .batch_command import FAILED, speak_batch
from .piped_text import piped_text
from .text_file import plain_text
from .voices_command import look_after_voices

IN_PIECES = ("auto", "sentence")  # the chunk methods of a text that is still being written
INTERRUPTED = 128 + signal.SIGINT
READER_LEFT = 128 + signal.SIGPIPE
TERMINATED = 128 + signal.SIGTERM


def main(words: list[str] | None = None) -> int:
    """Run the command; return its exit status: 0, 1 after an error, 128 + signal after a signal."""
    arguments = parse_arguments(sys.argv[1:] if words is None else words)
    try:
        if arguments.command == "batch":
            return speak_batch(partial(connect, arguments), arguments)
        with connect(arguments, arguments.url) as client:
            return (look_after_voices if arguments.command == "voices" else _speak)(client, arguments)
    except BrokenPipeError:
        return READER_LEFT
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except HiggsError as error:
        return _fail(f"{type(error).__name__}: {error}", FAILED)
    except OSError as error:
        return _fail(f"{error.filename or arguments.command or arguments.output}: {error.strerror or error}", FAILED)


def connect(arguments: Namespace, url: str, server_name: str | None = None) -> HiggsClient:
    """A client as the arguments ask for. Raises ServerUnavailableError, InvalidRequestError, OSError for its files."""
    root, certificate, key = (
        file.read_bytes() if file else None for file in (arguments.tls_root, arguments.tls_cert, arguments.tls_key)
    )
    metadata = dict(arguments.headers)
    if arguments.token_file is not None:
        metadata["authorization"] = f"Bearer {arguments.token_file.read_text(errors='replace').strip()}"
    timeouts = {name: value for name, value in vars(arguments).items() if name.endswith("chunk_timeout")}
    encrypted = arguments.tls or root or certificate
    return HiggsClient(
        url,
        server_name=server_name,
        credentials=grpc.ssl_channel_credentials(root, key, certificate) if encrypted else None,
        metadata=metadata,
        resume=getattr(arguments, "resume", False),
        **timeouts,
    )


def _speak(client: HiggsClient, arguments: Namespace) -> int:
    speech = _stream_out(client, arguments)
    if arguments.captions is not None:
        arguments.captions.write_text(captions(speech.parts, arguments.captions.suffix), "utf-8")
    if arguments.json:
        print(json.dumps(_summary(arguments.output, speech)))
    if not arguments.quiet:
        for line in _dialogue_lines(speech):
            print(line, file=sys.stderr)
        for warning in speech.report.warnings if speech.report else ():
            print(_one_line(warning), file=sys.stderr)
        print(_one_line(_summary_line(arguments.output, speech)), file=sys.stderr)
    return 0


def _stream_out(client: HiggsClient, arguments: Namespace) -> Speech:
    if arguments.output != STANDARD_STREAM:
        audio_format(arguments.output)
    text = read_text(arguments)
    reference = Reference(arguments.reference, arguments.reference_text) if arguments.reference else None
    with (
        _open_output(arguments, client.sample_rate) as output,
        client.stream(text, voice=arguments.voice, reference=reference, params=generation_params(arguments)) as stream,
    ):
        chunks = []
        for chunk in _with_progress(stream, stream.started_at, hidden=arguments.quiet):
            output.write(chunk.samples)
            chunks.append(chunk)
        return Speech.from_chunks(chunks, stream.started_at)


def read_text(arguments: Namespace) -> str | Iterator[str]:
    """The text to speak, or its pieces while it is still being written.

    Raises InvalidRequestError when there is none or it is not UTF-8; OSError.
    """
    if arguments.text not in (None, STANDARD_STREAM):
        return plain_text(os.fsencode(arguments.text), "The text")
    if arguments.text_file is not None:
        return plain_text(arguments.text_file.read_bytes(), str(arguments.text_file))
    if arguments.text is None and sys.stdin.isatty():
        raise InvalidRequestError("There is no text: give it as an argument, with --text-file or on standard input.")
    return piped_text(sys.stdin.fileno(), whole=arguments.chunk_method not in (None, *IN_PIECES))


def _open_output(arguments: Namespace, sample_rate: int) -> AudioFile | PcmStream:
    if arguments.output == STANDARD_STREAM:
        return PcmStream(sys.stdout.buffer)
    return AudioFile(arguments.output, sample_rate, keep_partial=arguments.keep_partial)


def _with_progress(chunks: Iterator[AudioChunk], started_at: float, *, hidden: bool) -> Iterator[AudioChunk]:
    """Pass the chunks on and, on a terminal, show the seconds of audio so far and the real-time factor."""
    # tqdm hides itself off a terminal when told None.
    shown: dict[str, Any] = {
        "bar_format": "{n:.1f} s of audio{postfix}",
        "leave": False,
        "disable": True if hidden else None,
    }
    with tqdm(file=sys.stderr, **shown) as bar:
        for chunk in chunks:
            bar.update(len(chunk.samples) / chunk.sample_rate)
            if bar.n:
                speaker = f", {chunk.speaker} speaks" if chunk.speaker else ""
                bar.set_postfix_str(f"RTF {(chunk.received_at - started_at) / bar.n:.2f}{speaker}")
            yield chunk


def _summary(output: str, speech: Speech) -> dict[str, Any]:
    factor = speech.real_time_factor
    return {
        "output": output,
        **{name: getattr(speech, name) for name in ("seconds", "sample_rate", "time_to_first_audio", "elapsed")},
        "real_time_factor": factor if math.isfinite(factor) else None,
        "finish_reason": speech.finish_reason,
        "report": None if speech.report is None else asdict(speech.report),
    }


def _dialogue_lines(speech: Speech) -> Iterator[str]:
    """Who spoke in which voice, and who said what from when to when; nothing for a text without speakers."""
    if speech.report is None or not any(part.speaker for part in speech.parts):
        return
    for speaker, voice in speech.report.voices.items():
        how = f"in the voice {voice}" if voice else "in a voice without a profile"
        yield f"{speaker or 'nobody by name'} speaks {how}"
    for part in speech.parts:
        yield f"{part.start:8.2f} - {part.stop:.2f} s  {part.speaker or ''}: {part.text}"


def _summary_line(output: str, speech: Speech) -> str:
    first = "no audio"
    if speech.time_to_first_audio is not None:
        first = f"first audio after {speech.time_to_first_audio * 1000:.0f} ms, RTF {speech.real_time_factor:.2f}"
    retries = f", {speech.retries} parts tried again" if speech.retries else ""
    return f"{output}: {speech.seconds:.2f} s of speech, {first}{retries}, finished: {speech.finish_reason}"


def _one_line(message: str) -> str:
    """The message on one line, whatever file names it contains."""
    return " ".join(message.encode(errors="backslashreplace").decode().split())


def _fail(message: str, status: int) -> int:
    print(f"higgs-tts: {_one_line(message)}", file=sys.stderr)
    return status


def run() -> NoReturn:
    """The console script."""
    # An exit unwinds the stack as Ctrl-C does, so that the generation is ended on the server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    sys.exit(main())

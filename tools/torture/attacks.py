"""What hostile, broken and unlucky clients do, and what a machine does to a server. Each returns how often it tried."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from higgs_tts import GenerationParams, HiggsClient, HiggsError
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from serve.supervisor import STEADY_SECONDS
from tools.torture.bystander import TEXT
from tools.torture.launched import Launched

MODELS = ("higgs_audio_v2", "prompt", "codec_encoder", "lm", "codec_decoder", "voices")
AT_A_TIME = 10
ANSWER_SECONDS = 30.0
_HOSTILE = (
    b"", b"\0", b"\xff\xfe", b"Hello there.", b"a" * 70_000, b"[" * 5_000, b"NaN", b"<|im_start|>" * 500, b"$1" * 2_000,
    b'{"timeout": 1e15}', b'{"top_k": 60.5, "temperature": "hot"}', b'{"max_seconds": Infinity}', b'{"seed": -1}',
    b'{"parts": [], "max_frames": -100}', b'{"first": Infinity}', b"cancel", b"watch", b"list", b"remove", b"../../etc",
)  # fmt: skip
_OTHER_TYPES = ("FP32", "INT32", "INT64", "BOOL", "BYTES")
# A client of five streams in a process of its own, to be killed or stopped.
_CLIENT = """
import sys, threading
from higgs_tts import GenerationParams, HiggsClient
def listen(seed):
    with HiggsClient(sys.argv[1]) as client, client.stream(sys.argv[2], params=GenerationParams(seed=seed)) as stream:
        for _ in stream:
            print("heard", flush=True)
for seed in range(5):
    threading.Thread(target=listen, args=(seed,)).start()
"""

Attack = Callable[[Launched, random.Random, int], int]


def fuzz_models(server: Launched, chance: random.Random, count: int) -> int:
    """Tensors of every model with impossible values, types and shapes, some at a time."""
    with InferenceServerClient(server.grpc_url) as client:
        descriptions = {name: client.get_model_metadata(name, as_json=True)["inputs"] for name in MODELS}
    tried = 0
    for model in MODELS:
        for first in range(0, count, AT_A_TIME):
            some = min(AT_A_TIME, count - first)
            _ask(server.grpc_url, model, [_tensors(descriptions[model], chance) for _ in range(some)])
            tried += some
    return tried


def _ask(url: str, model: str, requests: list[list[InferInput]]) -> None:
    """Send all on one stream and wait for as many last answers or refusals; a silence is an end, too."""
    answered = threading.Semaphore(0)

    def hear(result: Any, error: Any) -> None:
        final = error is not None or result.get_response().parameters["triton_final_response"].bool_param
        if final:
            answered.release()

    client = InferenceServerClient(url)
    try:
        client.start_stream(hear)
        for tensors in requests:
            try:
                client.async_stream_infer(model, tensors, enable_empty_final_response=True)
            except InferenceServerException:
                answered.release()
        until = time.monotonic() + ANSWER_SECONDS
        for _ in requests:
            answered.acquire(timeout=max(0.0, until - time.monotonic()))
    finally:
        client.stop_stream(cancel_requests=True)
        client.close()


def _tensors(descriptions: list[dict[str, Any]], chance: random.Random) -> list[InferInput]:
    tensors = []
    for one in descriptions:
        if chance.random() < 0.25:
            continue
        kind = one["datatype"] if chance.random() < 0.85 else chance.choice(_OTHER_TYPES)
        shape = [1, *(chance.choice((0, 1, 8, 300)) if int(d) < 0 else int(d) for d in one["shape"][1:])]
        if chance.random() < 0.1:
            shape = [chance.choice((0, 1, 3)) for _ in range(chance.randint(1, 4))]
        tensor = InferInput(one["name"], shape, kind)
        size = int(np.prod(shape))
        if kind == "BYTES":
            values = np.array([chance.choice(_HOSTILE) for _ in range(size)], dtype=object)
        elif kind == "FP32":
            values = np.full(size, chance.choice((0.0, np.nan, np.inf, 1e38, 0.3)), np.float32)
        else:
            values = np.array([chance.choice((0, 1, -1, 1025, 2**31 - 1)) for _ in range(size)]).astype(
                triton_to_np_dtype(kind)
            )
        with suppress(InferenceServerException):
            tensor.set_data_from_numpy(values.reshape(shape))
            tensors.append(tensor)
    return tensors


def fuzz_ports(server: Launched, chance: random.Random, count: int) -> int:
    """Bytes that are no request, on both ports: noise, broken JSON, wrong lengths, packed bodies."""
    json_body = json.dumps({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["Hi"]}]}).encode()
    bodies = (json_body, json_body[:-7], b"{" * 1_000, gzip.compress(bytes(2_000_000)), chance.randbytes(2_000))
    paths = ("/v2", "/v2/models/prompt/infer", "/v2/models/nobody/infer", "/v2/models/%00", "/" + "a" * 3_000)
    for number in range(count):
        if number % 2:
            target, sent = (
                server.grpc,
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[: chance.randint(0, 24)] + chance.randbytes(200),
            )
        else:
            body = chance.choice(bodies)
            length = chance.choice((len(body), len(body), 0, 7, -1, 10**9))
            packed = "Content-Encoding: gzip\r\n" if chance.random() < 0.3 else ""
            head = f"{chance.choice(('POST', 'GET', 'PUT'))} {chance.choice(paths)} HTTP/1.1\r\nHost: x\r\n{packed}"
            target, sent = server.http, f"{head}Content-Length: {length}\r\n\r\n".encode() + body
        with suppress(OSError), socket.create_connection(target, timeout=2) as connection:
            connection.settimeout(0.2)
            connection.sendall(sent)
            connection.recv(4096)
    return count


def cancels(server: Launched, chance: random.Random, count: int) -> int:
    """Streams that are cancelled before, at and after their first audio."""
    with HiggsClient(server.grpc_url) as client:
        for seed in range(count):
            with client.stream(TEXT, params=GenerationParams(seed=seed)) as stream:
                for _ in range(chance.randint(0, 2)):
                    next(stream, None)
                stream.cancel()
                with suppress(HiggsError):
                    for _ in stream:
                        pass
    return count


def vanishing(server: Launched, chance: random.Random, count: int) -> int:
    """Clients of five streams each whose process is killed, or stopped first, or that shut their connection."""
    for number in range(0, count, 5):
        kind = ("killed", "stopped", "shut")[number // 5 % 3]
        if kind == "shut":
            client = HiggsClient(server.grpc_url)
            streams = [client.stream(TEXT * 20, params=GenerationParams(seed=seed)) for seed in range(5)]
            next(streams[0], None)
            client.close()
            continue
        command = [sys.executable, "-c", _CLIENT, server.grpc_url, TEXT * 20]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.random())
            if kind == "stopped":
                process.send_signal(signal.SIGSTOP)
                time.sleep(5)
            process.kill()
    return count


def breakdown(name: str, number: signal.Signals, times: list[float]) -> Attack:
    """The attack that sends a process of the server a signal; appends the seconds until somebody new is heard again."""

    def attack(server: Launched, chance: random.Random, count: int) -> int:
        for _ in range(count):
            # Somewhere in the bystander's stream; by then the launcher has forgotten the last one, and does not pause.
            time.sleep(STEADY_SECONDS + 2 * chance.random())
            os.kill(server.processes()[name].pid, number)
            times.append(server.until_it_speaks())
        return count

    return attack


def traffic(server: Launched, chance: random.Random, minutes: int) -> int:
    """Ten clients with texts of every length, one in five of them cancelled, for so many minutes."""
    until, spoken = time.monotonic() + 60 * minutes, [0] * 10

    def talk(number: int) -> None:
        own = random.Random(chance.random())
        with HiggsClient(server.grpc_url) as client:
            while time.monotonic() < until:
                text = TEXT * own.randint(1, 6)
                with suppress(HiggsError), client.stream(text, params=GenerationParams(seed=number)) as stream:
                    for _ in stream:
                        if own.random() < 0.02:
                            break
                spoken[number] += 1
                time.sleep(own.random())

    talkers = [threading.Thread(target=talk, args=(number,)) for number in range(len(spoken))]
    for talker in talkers:
        talker.start()
    for talker in talkers:
        talker.join()
    return sum(spoken)

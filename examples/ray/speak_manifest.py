"""Speak a manifest on a Ray cluster into a bucket, every item once, whatever Ray repeats.

python speak_manifest.py s3://speech/lines.jsonl s3://speech/run-7 --url speech-replicas:8001 --actors 4
python speak_manifest.py s3://speech/lines.jsonl s3://speech/run-7 --bundle /bundles/h100 --actors 8 --gpus 1
"""

from __future__ import annotations

import argparse
import ctypes
import json
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any

import ray
from higgs_tts import HiggsClient
from higgs_tts.cli.batch import Batch
from higgs_tts.cli.bucket_results import BucketResults
from higgs_tts.cli.files import place
from higgs_tts.cli.manifest import read_manifest
from higgs_tts.cli.servers import STREAMS, Servers
from higgs_tts.storage import Storage

PR_SET_PDEATHSIG = 1  # of prctl(2)


class Speaker:
    """An actor: speaks blocks of items on servers as `higgs-tts batch` does, or on one that it starts itself.

    The bucket is its only memory. A block that Ray gives out again, since an actor or a node was lost, finds there what
    was spoken of it already; and of two actors that speak an item at once only one creates the object.
    """

    def __init__(self, urls: list[str], bundle: str | None, serve: list[str], out: str, streams: int) -> None:
        self._out, self._streams = out, streams
        self._urls = urls if bundle is None else [started([*serve, bundle])]

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        """The items' results as JSON, in their order."""
        items = list(block["item"])
        with (
            Servers(self._urls, lambda url, name: HiggsClient(url, server_name=name), streams=self._streams) as servers,
            BucketResults(Storage(self._out), few=True) as results,
        ):
            batch = Batch(servers, results)
            for _ in batch.run(batch.pending(items)):
                pass
            results.look({batch.file_name(item): item for item in items if results.latest(item) is None})
            told = [results.latest(item) for item in items]
        return {"id": [item.id for item in items], "result": [json.dumps(one and asdict(one)) for one in told]}


def started(serve: list[str]) -> str:
    """A server of this actor's own, on the GPU that Ray gave it: its gRPC endpoint, once it is ready."""
    ports = free_ports(3)
    options = [f"--{name}-port={port}" for name, port in zip(("grpc", "http", "metrics"), ports, strict=True)]
    gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    if gpus:
        options.append(f"--device={','.join(gpus)}")
    # Ray ends actors without a word: the kernel tells the launcher.
    leave = partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGTERM)
    server = subprocess.Popen(
        [*serve, "--gateway=off", *options],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=leave,  # noqa: PLW1509
    )
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("ready:"):
            return f"127.0.0.1:{ports[0]}"
    raise RuntimeError(f"{' '.join(serve)} ended with {server.wait()}; its log says why.")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def main() -> int:
    """Returns the exit code: 1 when an item failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", help="as `higgs-tts batch` takes it: a path or s3://…")
    parser.add_argument("out", help="s3://bucket/prefix")
    parser.add_argument("--url", action="append", default=[], help="of a server, or a name of several")
    parser.add_argument("--bundle", help="instead: each actor serves this bundle itself")
    parser.add_argument("--serve", default=f"{sys.executable} -m serve", help="the launcher; default: %(default)s")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--gpus", type=float, default=0, help="of an actor")
    parser.add_argument("--cpus", type=float, default=1, help="of an actor")
    parser.add_argument("--streams", type=int, default=STREAMS, help="at once, on each server")
    parser.add_argument("--block", type=int, default=256, help="items that an actor takes at once")
    parser.add_argument("--results", help="folder or s3://… for the results as Parquet")
    options = parser.parse_args()
    if bool(options.url) == bool(options.bundle):
        parser.error("give --url, or --bundle")

    items = read_manifest(place(options.manifest))
    results = ray.data.from_items([{"item": item} for item in items]).map_batches(
        Speaker,
        fn_constructor_args=(options.url, options.bundle, options.serve.split(), options.out, options.streams),
        batch_size=options.block,
        compute=ray.data.ActorPoolStrategy(size=options.actors),
        num_cpus=options.cpus,
        num_gpus=options.gpus,
    )
    results = results.materialize()
    if options.results:
        results.write_parquet(options.results)
    told = [json.loads(row["result"]) for row in results.iter_rows()]
    failed = [one for one in told if one is None or "error" in one]
    for one in failed:
        print(one and f"{one['id']}: {one['error']}: {one['message']}", file=sys.stderr)
    seconds = sum(one["seconds"] for one in told if one and "seconds" in one)
    print(f"{options.out}: {len(told) - len(failed)} of {len(told)} items spoken, {seconds:.2f} s of speech")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

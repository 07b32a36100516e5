"""Runs `higgs-tts batch`: a progress bar while items are spoken, then the failures, the table and a line of summary."""

import json
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..buckets import open_storage
from .batch import Batch
from .files import Files, Place
from .manifest import Item, read_manifest
from .results import Failed, Result, Results, Spoken
from .servers import Connect, Servers
from .table import require_table, table_of

if TYPE_CHECKING:
    from .bucket_results import BucketResults

FAILED = 1
BAR = "{n_fmt}/{total_fmt} |{bar}| {rate_fmt}, {remaining} left{postfix}"


def speak_batch(connect: Connect, arguments: Namespace) -> int:
    """Speak what is not done yet; return the exit status: 0, or 1 when an item failed.

    Raises HiggsError for a manifest that is wrong and for servers that went away, OSError and StorageError for an
    output that cannot be written; what is done by then stays done.
    """
    files = Files()
    if arguments.parquet is not None:
        require_table()
        files.check(arguments.parquet)
    with Servers(arguments.url, connect, streams=arguments.streams, retries=arguments.retries) as servers:
        items = [item for item in read_manifest(arguments.manifest, files) if item in arguments.shard]
        with _results_at(arguments.out) as results:
            batch = Batch(servers, results, file_format=arguments.format, retries=arguments.retries, files=files)
            pending = batch.pending(items)
            started_at = time.monotonic()
            fresh = _run_with_progress(batch, pending, done=len(items) - len(pending), hidden=arguments.quiet)
            elapsed = time.monotonic() - started_at
    # In the manifest's order, whichever was finished first.
    outcomes = [(item, result) for item in items if (result := results.latest(item)) is not None]
    if arguments.json:
        for _, result in outcomes:
            print(json.dumps(asdict(result), ensure_ascii=False))
    failures = [(item, result) for item, result in outcomes if isinstance(result, Failed)]
    for item, result in failures:
        fault = " ".join(result.message.split())
        place = f"{arguments.manifest}, line {item.line} ({item.id})"
        print(f"higgs-tts: {place}: {result.error}: {fault}", file=sys.stderr)
    if arguments.parquet is not None:
        files.write(arguments.parquet, table_of(outcomes))
    if not arguments.quiet:
        print(_summary_line(arguments, len(items), fresh, elapsed), file=sys.stderr)
    return FAILED if failures else 0


def _results_at(place: Place) -> "Results | BucketResults":
    if isinstance(place, Path):
        return Results(place)
    storage = open_storage(place)
    from .bucket_results import BucketResults  # noqa: PLC0415  (the extra is there)

    return BucketResults(storage)


def _run_with_progress(batch: Batch, pending: Sequence[Item], *, done: int, hidden: bool) -> list[Result]:
    """The results of the pending items. On a terminal, shows items done, their rate and the time left."""
    results: list[Result] = []
    seconds, failed = 0.0, 0
    shown: dict[str, Any] = {"total": done + len(pending), "initial": done, "unit": " items", "leave": False}
    # Items end in bursts, as they were started: only the mean over the whole run predicts the time left.
    shown |= {"smoothing": 0, "bar_format": BAR, "disable": True if hidden else None}
    with closing(batch.run(pending)) as finished, tqdm(file=sys.stderr, **shown) as bar:
        for result in finished:
            if result is not None:
                results.append(result)
            if isinstance(result, Spoken):
                seconds += result.seconds
            failed += isinstance(result, Failed)
            bar.set_postfix_str(f"{seconds:.0f} s of speech, {failed} failed", refresh=False)
            bar.update()
    return results


def _summary_line(arguments: Namespace, total: int, fresh: Sequence[Result], elapsed: float) -> str:
    spoken = [result for result in fresh if isinstance(result, Spoken)]
    seconds = sum(result.seconds for result in spoken)
    parts = [f"{len(spoken)} of {total} items spoken"]
    if len(fresh) < total:
        parts.append(f"{total - len(fresh)} were done before")
    if len(spoken) < len(fresh):
        parts.append(f"{len(fresh) - len(spoken)} failed")
    reasons = Counter(result.finish_reason for result in spoken if result.finish_reason != "stop")
    parts += [f"{count} finished: {reason}" for reason, count in sorted(reasons.items())]
    line = f"{arguments.out}: {', '.join(parts)}"
    if spoken:
        line += f"; {seconds:.2f} s of speech in {elapsed:.2f} s, {seconds / elapsed:.2f} s a second"
    return line

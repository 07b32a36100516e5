"""Speak a manifest, four lines at a time: batch.py [MANIFEST]. `higgs-tts batch` also retries and resumes."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from higgs_tts import GenerationParams, HiggsClient

manifest = Path(sys.argv[1]) if len(sys.argv) == 2 else Path(__file__).with_name("lines.jsonl")
items = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
out = Path("batch")
out.mkdir(exist_ok=True)

with HiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client, ThreadPoolExecutor(4) as pool:

    def speak(item: dict[str, Any]) -> str:
        params = GenerationParams(seed=item.get("seed"))
        speech = client.synthesize(item["text"], voice=item.get("voice"), params=params)
        speech.save(out / f"{item['id']}.wav")
        return f"{item['id']}: {speech.seconds:.2f} s"

    for line in pool.map(speak, items):
        print(line)

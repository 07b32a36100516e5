"""Run several streams at once with asyncio; one client serves them all."""

import asyncio
import os

from higgs_tts import AsyncHiggsClient, GenerationParams

SENTENCES = [
    "Good morning Anna.",
    "The time is seven thirty.",
    "It will be sunny on Friday.",
    "Turn left at the station.",
]


async def speak(client: AsyncHiggsClient, number: int, text: str) -> None:
    async with client.stream(text, params=GenerationParams(seed=number)) as stream:
        async for chunk in stream:
            print(f"stream {number}: audio from {chunk.start:5.2f} to {chunk.stop:5.2f} s")


async def main() -> None:
    async with AsyncHiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client:
        await asyncio.gather(*(speak(client, number, text) for number, text in enumerate(SENTENCES)))


asyncio.run(main())

"""Tell errors apart, and retry what may succeed later."""

import os
import time

from higgs_tts import GenerationParams, HiggsClient, HiggsError, InvalidRequestError, Speech


def speak(client: HiggsClient, text: str, attempts: int = 5) -> Speech:
    """Waits 1, 2, 4, … seconds between attempts; raises the last error."""
    for attempt in range(attempts - 1):
        try:
            return client.synthesize(text)
        except HiggsError as error:
            if not error.retryable:
                raise
            print(f"trying again in {2**attempt} s: {error}")
            time.sleep(2**attempt)
    return client.synthesize(text)


with HiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client:
    try:
        client.synthesize("Hello.", params=GenerationParams(temperature=3.0))
    except InvalidRequestError as error:  # never worth a retry: the sentence says what to change
        print("refused:", error)
    try:
        print(f"spoken: {speak(client, 'Good afternoon.').seconds:.2f} s")
    except HiggsError as error:  # the base of every error of this package
        print("failed:", error)

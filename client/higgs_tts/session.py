"""Speech whose text is still being written: what a stream offers besides when its text comes in pieces."""

import threading
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import TypeGuard

from .errors import InvalidRequestError
from .protocol import APPEND, END, FLUSH, Text
from .resume import ResumedExchange

# A text that is complete, or the pieces of one that may still be written.
Pieces = Iterable[str] | AsyncIterable[str]


def is_in_pieces(text: Text | Pieces) -> TypeGuard[Pieces]:
    """Whether a text comes in pieces, and is no conversation. Raises InvalidRequestError for an empty text."""
    if isinstance(text, str):
        empty, in_pieces = not text.strip(), False
    else:
        whole = isinstance(text, Sequence)
        empty = whole and not len(text)  # type: ignore[arg-type]
        in_pieces = not whole or not any(isinstance(piece, Mapping) for piece in text)  # type: ignore[union-attr]
    if empty:
        raise InvalidRequestError("The text is empty; give at least one word.")
    return in_pieces


class TakesText:
    """A stream that can be given text while it speaks. Its methods return at once and may be called from any thread.

    The server speaks each sentence as soon as it is surely complete, and keeps to one voice, language and dialogue. It
    waits for text for as long as the option `text_timeout_seconds` says.
    """

    _exchange: ResumedExchange
    _text_ended: bool

    def send(self, text: str) -> None:
        """The next piece of the text, of any length. Raises InvalidRequestError after `end`."""
        if self._text_ended:
            raise InvalidRequestError("The text has ended; open another session for more.")
        if text:
            self._exchange.send(APPEND, text)

    def flush(self) -> None:
        """Speak all that was sent, even the beginning of a sentence."""
        self._exchange.send(FLUSH)

    def end(self) -> None:
        """No more text will come: the stream ends when all of it is spoken."""
        if not self._text_ended:
            self._text_ended = True
            self._exchange.send(END)
            self._exchange.wake()

    def interrupt(self) -> None:
        """Stop speaking now. The stream ends as `cancelled`, and its report says how much of the text was spoken."""
        self._exchange.cancel()

    def _send_all(self, pieces: Iterable[str]) -> None:
        """Send the pieces as they come. Whatever they raise ends the stream, as its error."""
        try:
            for piece in pieces:
                self.send(piece)
            self.end()
        except Exception as error:
            self._exchange.fail(error)

    def _send_in_thread(self, pieces: Iterable[str]) -> None:
        threading.Thread(target=self._send_all, args=(pieces,), name="higgs-text", daemon=True).start()

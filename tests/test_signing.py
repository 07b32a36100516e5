"""What one model signs for another is taken from it and from nobody else."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.formats.errors import InvalidRequestError
from runtime.formats.signing import KEY_VARIABLE, Seal

CODES = np.arange(16, dtype=np.int32).reshape(2, 8)
OURS = Seal("a key of this start")
SEALED = OURS.sealed("window", "told: ½", "id", CODES)


def test_what_was_sealed_is_opened() -> None:
    assert OURS.opened("window", SEALED, "id", CODES) == "told: ½"
    assert OURS.opened("clips", OURS.sealed("clips", "", "id"), "id") == "", "a signature may stand alone"


@pytest.mark.parametrize(
    ("what", "sealed", "pieces"),
    [
        ("window", "told: ½", ("id", CODES)),
        ("window", "", ("id", CODES)),
        ("window", None, ("id", CODES)),
        ("window", "0" * 64 + "told: ½", ("id", CODES)),
        ("window", "½" * 64 + "told: ½", ("id", CODES)),
        ("window", "\ud800" * 64, ("id", CODES)),
        ("window", SEALED + " ", ("id", CODES)),
        ("window", SEALED.upper(), ("id", CODES)),
        ("window", SEALED, ("another", CODES)),
        ("window", SEALED, ("id", CODES + 1)),
        ("window", SEALED, ("id",)),
        ("window", SEALED, ("id", CODES, CODES[:0])),
        ("window", SEALED, ("id" + CODES.tobytes().decode("latin-1"),)),
        ("speech plan", SEALED, ("id", CODES)),
        ("window", Seal("another key").sealed("window", "told: ½", "id", CODES), ("id", CODES)),
        ("window", Seal(None).sealed("window", "told: ½", "id", CODES), ("id", CODES)),
    ],
)
def test_anything_else_is_refused(what: str, sealed: str | None, pieces: tuple[str | np.ndarray, ...]) -> None:
    with pytest.raises(InvalidRequestError, match=f"the {what} must be what .* wrote; send requests to higgs_audio_v2"):
        OURS.opened(what, sealed, *pieces)


def test_without_a_key_everything_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    seal = Seal.from_environment()
    assert not seal
    assert seal.opened("window", seal.sealed("window", "told", CODES), CODES) == "told"
    assert seal.opened("clips", None) == ""
    monkeypatch.setenv(KEY_VARIABLE, "a key of this start")
    assert Seal.from_environment().opened("window", SEALED, "id", CODES) == "told: ½"

"""The operator's word on threads wins over the bundle's."""

from __future__ import annotations

import pytest

from runtime.triton.threads import LM_VARIABLE, threads


@pytest.mark.parametrize("written, number", [("", 3), ("1", 1), ("16", 16)])
def test_the_environment_wins_where_it_says_a_number(
    monkeypatch: pytest.MonkeyPatch, written: str, number: int
) -> None:
    monkeypatch.setenv(LM_VARIABLE, written)
    assert threads(LM_VARIABLE, 3) == number


def test_without_it_the_bundle_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LM_VARIABLE, raising=False)
    assert threads(LM_VARIABLE, 0) == 0


@pytest.mark.parametrize("written", ["0", "-1", "two", "1.5", " 1 x"])
def test_what_is_no_number_of_threads_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv(LM_VARIABLE, written)
    with pytest.raises(ValueError, match=f"{LM_VARIABLE} is .*; give a number of threads"):
        threads(LM_VARIABLE, 1)

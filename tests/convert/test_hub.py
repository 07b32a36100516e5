"""A licence that was not accepted on the hub is said in one sentence, with where to accept it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import GatedRepoError

from convert import hub
from convert.errors import ModelLoadingError


def test_a_gated_repository_is_named_with_where_to_accept_its_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    def gated(repo: str, **options: Any) -> str:
        response: Any = SimpleNamespace(headers={}, status_code=403, request=None, text="", reason="", url="")
        raise GatedRepoError("403 Client Error: access to it is restricted", response=response)

    monkeypatch.setattr(hub, "snapshot_download", gated)
    with pytest.raises(ModelLoadingError) as refusal:
        hub.resolve("owner/name", "0" * 40)
    sentence = str(refusal.value)
    assert sentence.startswith("owner/name is given out only to those who accepted its licence")
    assert "https://huggingface.co/owner/name and sign in" in sentence
    assert "\n" not in sentence

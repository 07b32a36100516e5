"""What the hub is asked for, and what is refused before gigabytes are."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import GatedRepoError

from convert import hub
from convert.errors import ModelLoadingError
from convert.export import export


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


@pytest.mark.parametrize("codec", [None, "owner/codec"])
def test_a_codec_without_revision_is_refused_before_the_weights_are_fetched(
    codec: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "snapshot").mkdir()
    names = {"audio_tokenizer": {"audio_tokenizer_name_or_path": "owner/codec"}}
    (tmp_path / "snapshot" / "processor_config.json").write_text(json.dumps(names))
    fetched: list[list[str]] = []

    def download(repo: str, revision: str, allow_patterns: list[str]) -> str:
        fetched.append(allow_patterns)
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(ModelLoadingError, match="The codec owner/codec is on the hub and needs a revision of its own"):
        export("owner/name", tmp_path / "exports", "0" * 40, codec)
    assert fetched == ([] if codec else [["processor_config.json", "*/config.json"]])
    with pytest.raises(ModelLoadingError, match=r"config\.json is missing"):
        export("owner/name", tmp_path / "exports", "0" * 40, codec, "1" * 40)
    assert "*.safetensors" in fetched[-1], "with it, the download begins"

"""What the build reads from an export: `export.json`, the plain data the converter writes beside its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.errors import BuildError
from runtime.engine.types import ModelDescription
from runtime.formats.errors import ModelLoadingError
from runtime.formats.exports import EXPORT_FILE, FORMAT


@dataclass(frozen=True)
class Exports:
    """A finished export. `record` is export.json as written, kept whole for the manifest."""

    directory: Path
    record: dict[str, Any]

    @classmethod
    def read(cls, directory: Path) -> Exports:
        """Raises BuildError when the export is missing, unfinished or of another version."""
        path = directory / EXPORT_FILE
        try:
            record = json.loads(path.read_text())
            found = record.get("format")
        except (OSError, ValueError, AttributeError) as error:
            raise BuildError(f"{path} cannot be read ({error}); run the conversion first") from error
        if found != FORMAT:
            raise BuildError(f"{path} has format {found!r}, this version builds format {FORMAT}; convert again")
        return cls(directory, record)

    @property
    def language_model(self) -> ModelDescription:
        """The codebook layout and sizes the engine needs. Raises BuildError when they are missing."""
        try:
            return ModelDescription.read(self.directory / "lm" / ModelDescription.FILE)
        except ModelLoadingError as error:
            raise BuildError(f"{error}; run the conversion first") from error

    @property
    def language_model_bytes(self) -> int:
        """Of all its files, which are little but weights."""
        return sum(file.stat().st_size for file in (self.directory / "lm").rglob("*") if file.is_file())

    @property
    def quantisation(self) -> str | None:
        """How the checkpoint's weights were quantised already, in words."""
        found = self.record["language_model"].get("quantisation")
        return found and f"{found['method']} ({', '.join(found['kinds'])})"

    @property
    def codec(self) -> dict[str, Any]:
        """sample_rate, hop_length, num_codebooks, context_frames."""
        return self.record["codec"]["config"]

    @property
    def silence_codes(self) -> list[list[int]]:
        """For each codebook the codes of silence."""
        return self.record["codec"]["silence_codes"]

    @property
    def generation(self) -> dict[str, Any]:
        """The checkpoint's own sampling defaults."""
        return self.record["generation"]

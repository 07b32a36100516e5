"""Finds a checkpoint's files: in a local folder, or in a pinned revision of a hub repository."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from convert.errors import ModelLoadingError
from runtime.formats.exports import KNOWN_WORDS_FILE

# Everything both layouts need and nothing else: the hub folders also carry figures and sample audio.
NEEDED_FILES = ("*.json", "*.safetensors", "*.jinja", "*.pth", KNOWN_WORDS_FILE)


def resolve(source: str | os.PathLike[str], revision: str | None = None, files: Sequence[str] = NEEDED_FILES) -> Path:
    """The folder that holds the checkpoint `source`.

    A local folder is returned as it is. Anything else is a hub id, downloaded (or found in the cache that HF_HOME
    names; HF_HUB_OFFLINE is honoured) at `revision`: only the files whose names match one of `files`.

    Raises:
        ModelLoadingError: no such folder, a hub id without a revision, or the hub does not have it.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    repo = os.fspath(source)
    if folder.exists():
        raise ModelLoadingError(f"{repo} is a file; a checkpoint is the folder that holds config.json.")
    if folder.is_absolute() or repo.startswith(".") or repo.count("/") != 1:
        raise ModelLoadingError(f"There is no folder {repo}, and it is not a hub id of the form owner/name either.")
    if revision is None:
        raise ModelLoadingError(
            f"The hub id {repo} needs a revision (a commit hash): the files of Higgs Audio V2 on the hub were "
            "replaced in place in 2026, so a name alone does not say which weights are meant."
        )
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ModelLoadingError(
            f"The revision {revision!r} of {repo} is not a commit hash (40 hexadecimal digits); "
            "a branch or a tag can move."
        )
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(files)))
    except GatedRepoError as error:
        raise ModelLoadingError(
            f"{repo} is given out only to those who accepted its licence: accept it at https://huggingface.co/{repo} "
            "and sign in with `hf auth login` (or set HF_TOKEN)."
        ) from error
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelLoadingError(f"Could not get {repo} at revision {revision} from the hub: {reason}") from error

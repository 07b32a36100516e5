"""Where a bundle comes from: a folder, or an address at which one was published, whose bundle may change."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO

from serve.errors import LaunchError
from serve.lifetime import ending_with_its_starter
from serve.published import hold
from serve.pythons import ROOT, python_with
from serve.state import STATE_VARIABLE

CACHE_VARIABLE = "HIGGS_CACHE_DIR"
_PACKAGES = ("boto3", "higgs_tts", "obstore")

logger = logging.getLogger(__name__)


def is_published(word: str) -> bool:
    """Whether a bundle's place is an address rather than a folder."""
    return "://" in word


class Source:
    """A published bundle's place. cache: folder for what is fetched; None for the user's."""

    def __init__(self, address: str, cache: Path | None = None) -> None:
        self.address = address.rstrip("/")
        word = re.sub(r"[^\w.-]", "", self.address.rpartition("/")[2])
        self._name = f"{word}-{hashlib.sha256(self.address.encode()).hexdigest()[:8]}"
        self._cache = (cache or _users(CACHE_VARIABLE, "XDG_CACHE_HOME", ".cache")).absolute()
        self._said = ""
        self._last: Path | None = None
        self._held = deque[IO[str]](maxlen=2)  # locks on what is served, and on what will be

    @property
    def state(self) -> Path:
        """The default for what outlives every version of the bundle."""
        named = os.environ.get(STATE_VARIABLE)
        return Path(named) if named else _users("", "XDG_STATE_HOME", ".local/state") / self._name

    def bring(self, verify: bool = False) -> Path:
        """The folder of the newest version that can be had, fetched and checked; says why it is not the newest.

        verify: check again what was fetched before. Raises LaunchError: there is none.
        """
        python = python_with(_PACKAGES)
        if python is None:
            raise LaunchError(f"{self.address} cannot be read without the packages {', '.join(_PACKAGES)}: make setup")
        command = [python, "-m", "serve.cache", self.address, str(self._cache / self._name)]
        command += ["--verify"] if verify else []
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C is for us
            preexec_fn=ending_with_its_starter(),
        )
        said = " ".join((done.stderr.strip().splitlines() or [""])[-1].split())
        if done.returncode:
            raise LaunchError(said or f"{self.address} could not be fetched")
        folder = Path(done.stdout.rstrip("\n").rpartition("\n")[2])
        if said and said != self._said:
            logger.warning("%s; serving what was fetched before", said)
        self._said = said
        if folder != self._last:
            with suppress(OSError):  # in a cache that is not ours to write to, nor to tidy
                self._held.append(hold(folder))
            self._last = folder
        return folder


class Updates:
    """Brings what is newly published while the server speaks, on a thread of its own.

    seconds: how often to look; None for only when asked. now: the bundle that is served.
    """

    def __init__(self, source: Source, now: Path, seconds: float | None) -> None:
        self._source, self._seconds, self._now = source, seconds, now
        self._asked = threading.Event()
        self._fetched: Path | None = None
        threading.Thread(target=self._look, name="updates", daemon=True).start()

    def look(self) -> None:
        """Look now."""
        self._asked.set()

    def take(self) -> Path | None:
        """A bundle that came since this was last called; None for none."""
        fetched, self._fetched = self._fetched, None
        return fetched

    def _look(self) -> None:
        while True:
            self._asked.wait(self._seconds)
            self._asked.clear()
            try:
                folder = self._source.bring()
            except (LaunchError, OSError) as error:
                logger.warning("%s", error)
                continue
            if folder != self._now:
                self._now = self._fetched = folder


def _users(variable: str, standard: str, otherwise: str) -> Path:
    """A folder of this user's: the one that our variable names, or ours in the desktop's, as XDG has them."""
    if named := os.environ.get(variable):
        return Path(named)
    home = os.environ.get(standard) or os.path.expanduser(f"~/{otherwise}")
    return Path(home) / "higgs-tts"

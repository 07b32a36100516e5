"""The Python that compiles and serves: in NVIDIA's container, its own, with packages that ours cannot have."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from build.errors import BuildError

_ROOT = Path(__file__).resolve().parent.parent
_ASK = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version

def of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None

print(json.dumps([platform.python_version(), {name: of(name) for name in sys.argv[1:]}]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python by its path or name; this process answers for its own."""

    path: str = sys.executable

    @property
    def is_this(self) -> bool:
        return self.path == sys.executable

    @property
    def python(self) -> str:
        """Major and minor version, such as "3.11"."""
        return ".".join(str(self._ask([])[0]).split(".")[:2])

    def versions(self, packages: Iterable[str]) -> dict[str, str | None]:
        """The version of each package, None where it is not installed. Raises BuildError for a Python that fails."""
        return self._ask(list(packages))[1]

    def run(self, module: str, order: object) -> None:
        """Run a module of this checkout with `order` as JSON on its standard input; its output goes to the terminal.

        Raises BuildError when it fails.
        """
        command = [self.path, "-m", module]
        if subprocess.run(command, cwd=_ROOT, input=json.dumps(order), text=True, check=False).returncode:
            raise BuildError(f"{' '.join(command)} failed; its message is above")

    def _ask(self, packages: list[str]) -> tuple[str, dict[str, str | None]]:
        if self.is_this:
            numbers = sys.version_info
            return f"{numbers.major}.{numbers.minor}.{numbers.micro}", {name: _version(name) for name in packages}
        try:
            answer = subprocess.run([self.path, "-c", _ASK, *packages], capture_output=True, text=True, check=False)
            found, versions = json.loads(answer.stdout)
        except (OSError, ValueError) as error:
            raise BuildError(f"the Python {self.path} cannot be run: {error}") from error
        return found, versions


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

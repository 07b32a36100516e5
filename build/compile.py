"""`python -m build.compile`: runs one compile step for build/engines.py, in the Python that has the compilers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from build.engines import COMPILERS
from build.errors import BuildError
from build.exports import Exports
from build.targets import Target


def main() -> int:
    """Read the order from standard input, compile, and return the exit code."""
    order = json.load(sys.stdin)
    try:
        exports, folder = Exports.read(Path(order["exports"])), Path(order["folder"])
        COMPILERS[order["compiler"]](exports, Target(**order["target"]), folder)
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # typically a full disk, where the error names no file
        print(f"build: {error.strerror or error}: {error.filename or order['folder']}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

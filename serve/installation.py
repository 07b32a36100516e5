"""Finding a Triton to run: NVIDIA's container has one, elsewhere the nvidia-pytriton wheel brings one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from serve.errors import LaunchError
from serve.processes import STUB

CONTAINER_ROOT = Path("/opt/tritonserver")
# The wheel has stubs for more, but models need numpy 1, which newer Pythons lack, and older Pythons lack what we use.
_PYTHONS = ("3.10", "3.11", "3.12")


@dataclass(frozen=True)
class Installation:
    """An executable, the environment it needs, and its backend folder (None: the one it was built with)."""

    executable: Path
    environment: dict[str, str]
    backends: Path | None


def find_installation(scratch: Path) -> Installation:
    """The container's Triton where there is one, otherwise the wheel's, its backends laid out below `scratch`.

    Raises LaunchError when there is neither, or when this Python cannot run the wheel's Python backend.
    """
    executable = CONTAINER_ROOT / "bin" / "tritonserver"
    if executable.exists():
        return Installation(executable, dict(os.environ), None)
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise LaunchError("no Triton was found; on a machine without NVIDIA's container run: make setup")
    package = Path(spec.origin).parent
    return Installation(
        package / "tritonserver" / "bin" / "tritonserver",
        _environment(package.parent, scratch),
        _backends(package / "tritonserver", scratch / "backends"),
    )


def _backends(triton: Path, backends: Path) -> Path:
    """A backend folder with the stub for this Python beside the Python backend; nothing is written into the wheel."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = triton / "python_backend_stubs" / version / STUB
    if version not in _PYTHONS or not stub.is_file():
        raise LaunchError(f"Triton's Python backend needs Python {', '.join(_PYTHONS)} here, this is Python {version}")
    python = backends / "python"
    python.mkdir(parents=True)
    for file in (triton / "backends" / "python").iterdir():
        if file.is_file():
            (python / file.name).symlink_to(file)
    shutil.copy(stub, python / STUB)  # a copy: the stub finds its own folder through /proc
    return backends


def _environment(site_packages: Path, scratch: Path) -> dict[str, str]:
    """Paths of the libraries and of this Python, through links: neither variable can hold a path with a separator."""
    library = sysconfig.get_config_var("INSTSONAME") or ""
    folders = [sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib")]
    home = next((folder for folder in folders if folder and (Path(folder) / library).is_file()), None)
    if not library.startswith("libpython3") or ".so" not in library or home is None:
        raise LaunchError(
            "this Python has no shared libpython, which Triton's Python backend needs; use one that has it"
        )
    environment = dict(os.environ)
    libraries = [
        _link(scratch / "libpython", home),
        _link(scratch / "libtriton", site_packages / "nvidia_pytriton.libs"),
    ]
    environment["LD_LIBRARY_PATH"] = _joined(*libraries, environment.get("LD_LIBRARY_PATH", ""))
    # The stub starts whatever `python3` comes first on the path: it must be this environment's.
    python = _link(scratch / "python", sys.prefix)
    environment["PATH"] = _joined(os.path.join(python, "bin"), environment.get("PATH", ""))
    return environment


def _link(link: Path, target: str | Path) -> str:
    link.symlink_to(target)
    return str(link)


def _joined(*paths: str) -> str:
    return os.pathsep.join(path for path in paths if path)

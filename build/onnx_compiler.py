"""Compiles ONNX into an engine, with the builder API that TensorRT and TensorRT-RTX share; the caller chooses which.

Networks are strongly typed: every tensor has the type in the ONNX file, and TF32 never replaces float32. The engine is
written while it is serialised, so it is never in memory as a whole, and appears under its name only when it is
complete. A report beside it, `ENGINE.json`, says what was compiled for which shapes: engines themselves can only be
opened on a GPU.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from build.errors import BuildError

# A fixed axis, a named one, or a multiple of a named one, as exporters write the codec's samples: "960*frames".
_AXIS = re.compile(r"(?:(\d+)\*)?(\w+)")


@dataclass(frozen=True)
class AxisRange:
    """The range of a named axis in one profile; kernels are tuned for `typical`."""

    lowest: int
    typical: int
    largest: int

    def __post_init__(self) -> None:
        if not 0 <= self.lowest <= self.typical <= self.largest:
            raise BuildError(f"an axis cannot go from {self.lowest} over {self.typical} to {self.largest}")


Profile = Mapping[str, AxisRange]
Configure = Callable[[Any, Any], None]  # (module, builder configuration)


@dataclass(frozen=True)
class EngineReport:
    """What was compiled: tensors as (type, shape with named axes), sizes in bytes, time in seconds.

    `source` identifies one export of a network, by the ONNX file's name, size and time.
    """

    source: str
    compiler: str
    version: str
    compute_capability: str
    inputs: dict[str, tuple[str, list[int | str]]]
    outputs: dict[str, tuple[str, list[int | str]]]
    profiles: list[dict[str, AxisRange]]
    layers: int
    bytes: int
    seconds: float

    @classmethod
    def read(cls, engine: Path) -> EngineReport | None:
        """The report of a finished engine; None when there is no report, or it describes another engine."""
        try:
            values = json.loads(report_path(engine).read_text())
            for tensors in (values["inputs"], values["outputs"]):
                tensors.update({name: (kind, shape) for name, (kind, shape) in tensors.items()})
            values["profiles"] = [{axis: AxisRange(**r) for axis, r in p.items()} for p in values["profiles"]]
            report = cls(**values)
            return report if engine.stat().st_size == report.bytes else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def compiler(modules: Iterable[str], missing: str) -> Any:
    """The first of these modules that is installed. Raises BuildError with the sentence `missing`."""
    for name in modules:
        with suppress(ImportError):
            return importlib.import_module(name)
    raise BuildError(missing)


def report_path(engine: Path) -> Path:
    """The path of an engine's report."""
    return engine.with_name(f"{engine.name}.json")


def compile_onnx(
    module: Any,
    onnx: Path,
    engine: Path,
    profiles: Sequence[Profile],
    compute_capability: str,
    configure: Configure | None = None,
) -> EngineReport:
    """Compile `onnx` into `engine` with one optimization profile for each of `profiles`, and write the report.

    Skips an engine that was compiled from this very file, by this compiler, for the same shapes and card.

    Args:
        module: `tensorrt` or TensorRT-RTX's module.
        profiles: the range of every named axis of the inputs, in whichever inputs it occurs.
        compute_capability: for the report; `configure` tells the builder.
        configure: sets what only one of the compilers knows.

    Raises:
        BuildError: the file cannot be parsed (with the parser's message), an axis has no range, or the builder fails.
    """
    started = time.perf_counter()
    done = _finished(module, onnx, engine, profiles, compute_capability)
    if done is not None:
        return done
    log = _log(module)
    log.complaints.clear()
    builder = module.Builder(log)
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(module, network, log, onnx)
    configuration = builder.create_builder_config()
    configuration.clear_flag(module.BuilderFlag.TF32)
    if configure is not None:
        configure(module, configuration)
    for profile in profiles:
        _add_profile(builder, network, configuration, profile, onnx)
    engine.parent.mkdir(parents=True, exist_ok=True)
    partial = engine.with_name(f"{engine.name}.partial")
    try:
        _serialize(module, builder, network, configuration, partial, log)
        report = EngineReport(
            _source(onnx),
            _compiler(module),
            module.__version__,
            compute_capability,
            _describe([network.get_input(i) for i in range(network.num_inputs)]),
            _describe([network.get_output(i) for i in range(network.num_outputs)]),
            [dict(profile) for profile in profiles],
            network.num_layers,
            partial.stat().st_size,
            time.perf_counter() - started,
        )
        report_path(engine).write_text(json.dumps(asdict(report), indent=2) + "\n")
        os.replace(partial, engine)
    finally:
        partial.unlink(missing_ok=True)
    return report


def _compiler(module: Any) -> str:
    return str(module.__name__).removesuffix("_bindings")


def _finished(
    module: Any, onnx: Path, engine: Path, profiles: Sequence[Profile], compute_capability: str
) -> EngineReport | None:
    report = EngineReport.read(engine)
    if report is None or not onnx.is_file():
        return None
    made = (report.source, report.compiler, report.version, report.compute_capability, report.profiles)
    asked = (_source(onnx), _compiler(module), module.__version__, compute_capability, [dict(p) for p in profiles])
    return report if made == asked else None


def _source(onnx: Path) -> str:
    status = onnx.stat()
    return f"{onnx.name} {status.st_size} {status.st_mtime_ns}"


def _parse(module: Any, network: Any, log: Any, onnx: Path) -> None:
    if not onnx.is_file():
        raise BuildError(f"there is no {onnx} to compile; run the conversion first")
    parser = module.OnnxParser(network, log)
    if parser.parse_from_file(str(onnx)):
        return
    complaints = []
    for i in range(parser.num_errors):
        error = parser.get_error(i)
        node = f"{error.node_operator()} {error.node_name()}: " if error.node_operator() else ""
        complaints.append(f"{node}{error.desc()}")
    raise BuildError(f"{module.__name__} cannot read {onnx}: {'; '.join(complaints) or log.last_complaint()}")


def _add_profile(builder: Any, network: Any, configuration: Any, profile: Profile, onnx: Path) -> None:
    shapes = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        ranges = [_range(tensor, axis, size, profile, onnx) for axis, size in enumerate(tensor.shape)]
        bounds = [tuple(getattr(r, bound) for r in ranges) for bound in ("lowest", "typical", "largest")]
        shapes.set_shape(tensor.name, *bounds)
    if configuration.add_optimization_profile(shapes) < 0:
        raise BuildError(f"the shapes {dict(profile)} do not fit the inputs of {onnx}")


def _range(tensor: Any, axis: int, size: int, profile: Profile, onnx: Path) -> AxisRange:
    if size >= 0:
        return AxisRange(size, size, size)
    name = tensor.get_dimension_name(axis)
    match = _AXIS.fullmatch(name or "")
    if match is None or match[2] not in profile:
        raise BuildError(
            f"axis {axis} ({name!r}) of input {tensor.name} of {onnx} has no range; there are {[*profile]}"
        )
    factor, named = int(match[1] or 1), profile[match[2]]
    return AxisRange(factor * named.lowest, factor * named.typical, factor * named.largest)


def _serialize(module: Any, builder: Any, network: Any, configuration: Any, path: Path, log: Any) -> None:
    if not hasattr(builder, "build_serialized_network_to_stream"):  # TensorRT before 10.13
        serialized = builder.build_serialized_network(network, configuration)
        if serialized is None:
            raise BuildError(f"{module.__name__} cannot build {path.stem}: {log.last_complaint()}")
        path.write_bytes(serialized)
        return
    with path.open("wb") as file:
        writer = _writer(module)(file)
        built = builder.build_serialized_network_to_stream(network, configuration, writer)
    if writer.failure is not None:
        raise writer.failure
    if not built:
        raise BuildError(f"{module.__name__} cannot build {path.stem}: {log.last_complaint()}")


def _describe(tensors: Sequence[Any]) -> dict[str, tuple[str, list[int | str]]]:
    return {
        tensor.name: (
            tensor.dtype.name,
            [
                int(size) if size >= 0 else tensor.get_dimension_name(axis) or "?"
                for axis, size in enumerate(tensor.shape)
            ],
        )
        for tensor in tensors
    }


@cache
def _log(module: Any) -> Any:
    """The compiler's only log: it keeps the first one it is given for the life of the process."""

    class Log(module.ILogger):
        """Keeps errors for our message and drops the rest, which is about the compiler's internals."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.complaints: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR):
                self.complaints.append(message)

        def last_complaint(self) -> str:
            return self.complaints[-1] if self.complaints else "it does not say why"

    return Log()


@cache
def _writer(module: Any) -> Any:
    class Writer(module.IStreamWriter):
        """Writes to a file; a file error ends the build and is kept here, since it cannot pass through the compiler."""

        def __init__(self, file: Any) -> None:
            module.IStreamWriter.__init__(self)
            self.failure: OSError | None = None
            self._file = file

        def write(self, data: bytes) -> int:
            try:
                return self._file.write(data)
            except OSError as error:
                self.failure = error
                return 0

    return Writer

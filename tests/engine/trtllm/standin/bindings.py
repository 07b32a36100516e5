"""`tensorrt_llm.bindings.executor` as far as the engine uses it, made from the names recorded in bindings.json.

The classes are generated from the record, so a constructor argument, attribute or enumeration value that the real
bindings do not have fails here as it would there.
"""

from __future__ import annotations

import enum
import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.engine.trtllm.standin.executor import Executor
from tests.engine.trtllm.standin.network import Network

RECORD: dict[str, Any] = json.loads(Path(__file__).with_name("bindings.json").read_text())


def standin_bindings(network: Network) -> SimpleNamespace:
    """The bindings over a network; `executors` collects the executors made with them."""
    namespace = SimpleNamespace(executors=[])
    for name, record in RECORD["enums"].items():
        setattr(namespace, name, enum.Enum(name, record["values"]))
    for name, record in RECORD["classes"].items():
        setattr(namespace, name, _recorded_class(name, record))

    def executor(**arguments: Any) -> Executor:
        assert set(arguments) == set(RECORD["executor"]["constructor"])
        running = Executor(namespace, network, **arguments)
        namespace.executors.append(running)
        return running

    namespace.Executor = executor
    return namespace


def _recorded_class(name: str, record: dict[str, Any]) -> type:
    """A class that takes, and lets one read and write, exactly what the record says."""
    parameters = [
        inspect.Parameter(argument, kind, default=inspect.Parameter.empty if argument in record["required"] else None)
        for arguments, kind in (
            (record["positional"], inspect.Parameter.POSITIONAL_OR_KEYWORD),
            (record["keyword_only"], inspect.Parameter.KEYWORD_ONLY),
        )
        for argument in arguments
    ]
    # A constructor may require an argument after one with a default; only keywords matter then.
    required = [p for p in parameters if p.default is inspect.Parameter.empty]
    optional = [p for p in parameters if p.default is not inspect.Parameter.empty]
    positional = [p for p in (*required, *optional) if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    keyword = [p for p in (*required, *optional) if p.kind is inspect.Parameter.KEYWORD_ONLY]
    signature = inspect.Signature([*positional, *keyword])
    writable = set(record["read_write"])
    readable = writable | set(record["read_only"])

    def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(*args, **kwargs)  # TypeError on a wrong name, as the real ones raise
        vars(self).update(dict.fromkeys((*signature.parameters, *readable)), **bound.arguments)

    def assign(self: Any, attribute: str, value: Any) -> None:
        if attribute not in writable:
            raise AttributeError(f"{name} has no attribute {attribute!r} that can be set")
        vars(self)[attribute] = value

    return type(name, (), {"__init__": initialise, "__setattr__": assign, **record.get("constants", {})})

"""Modules and their parameters, which a checkpoint must fill by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from tests.build.trtllm_standin.functional import DTYPES, Tensor


class Parameter:
    """Of a fixed shape and type, without a value until the checkpoint brings one."""

    def __init__(self, value: torch.Tensor | None = None, shape: tuple[int, ...] = (), dtype: str = "float32") -> None:
        self.shape = tuple(value.shape) if value is not None else tuple(shape)
        self.dtype = DTYPES[dtype]
        self._value = value

    def is_inited(self) -> bool:
        return self._value is not None

    @property
    def value(self) -> Tensor:
        assert self._value is not None, "no value was loaded"
        return Tensor.of(self._value)

    @value.setter
    def value(self, value: torch.Tensor) -> None:
        assert tuple(value.shape) == self.shape, f"shape {tuple(value.shape)} where {self.shape} is needed"
        assert value.dtype == self.dtype, f"{value.dtype} where {self.dtype} is needed"
        self._value = value


class Module:
    """Parameters and modules are found by their attribute's name; anything else is a plain attribute."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        setattr(self, name, param)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        yield from ((name, child) for name, child in vars(self).items() if isinstance(child, Module))

    def named_modules_with_parent(self, prefix: str = "") -> Iterator[tuple[str, Module, Module]]:
        for name, child in list(self.named_children()):
            path = f"{prefix}{name}"
            yield path, child, self
            yield from child.named_modules_with_parent(f"{path}.")

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        modules = [("", self), *((f"{path}.", module) for path, module, _ in self.named_modules_with_parent())]
        for prefix, module in modules:
            for name, member in vars(module).items():
                if isinstance(member, Parameter):
                    yield f"{prefix}{name}", member


class ModuleList(Module):
    def __init__(self, modules: list[Module]) -> None:
        for index, module in enumerate(modules):
            setattr(self, str(index), module)

    def __len__(self) -> int:
        return len(vars(self))

    def __getitem__(self, idx: int) -> Module:
        if idx >= len(self):
            raise IndexError(idx)
        return getattr(self, str(idx))

"""The network being executed: its inputs' values, its plugin settings and its outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class PluginConfig:
    """What `trtllm-build` sets, as build/trtllm.py asks for it."""

    remove_input_padding: bool = True
    paged_kv_cache: bool = True
    gpt_attention_plugin: str = "bfloat16"
    moe_plugin: str = "bfloat16"
    tokens_per_block: int = 32


@dataclass
class Network:
    """`feed` holds a value for each input the runtime knows; `declared` those the network asked for."""

    feed: dict[str, torch.Tensor]
    plugin_config: PluginConfig = field(default_factory=PluginConfig)
    declared: list[str] = field(default_factory=list)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)


_current: list[Network] = []


def default_net() -> Network:
    assert _current, "used outside a network"
    return _current[-1]


@contextmanager
def net_guard(network: Network) -> Iterator[Network]:
    _current.append(network)
    try:
        yield network
    finally:
        _current.pop()

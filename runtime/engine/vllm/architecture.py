"""What vLLM calls our network, and where it finds it. vLLM's plug-in; the `plugin` folder names it as an entry point.

vLLM imports it in each of its processes, so it imports nothing before it is asked to.
"""

from __future__ import annotations

ARCHITECTURE = "HiggsAudioV2SpeechLM"
PLUGIN = "higgs_tts"
NETWORK = "runtime.engine.vllm.network:SpeechNetwork"
SAMPLING = "runtime.engine.vllm.sampling:ColumnSampling"


def register() -> None:
    """Make our network known to vLLM; may be called again."""
    from vllm import ModelRegistry  # noqa: PLC0415

    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, NETWORK)

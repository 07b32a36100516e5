"""build/higgs_network.py executed on the CPU, step by step as TensorRT-LLM's runtime would, against transformers.

The stand-in for `tensorrt_llm` (tests/build/trtllm_standin) proves names, shapes, routing and arithmetic of the network
definition, and that its calls fit TensorRT-LLM's signatures. NVIDIA's kernels it cannot prove.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import HiggsAudioV2ForConditionalGeneration

from convert import trtllm
from convert.checkpoint import Checkpoint
from runtime.engine.delay_pattern import delay
from runtime.engine.types import CodebookLayout
from tests.build import trtllm_standin
from tests.build.trtllm_standin.network import Network, net_guard
from tests.build.trtllm_standin.runtime import Request, Runtime

NETWORK = Path(__file__).resolve().parents[2] / "build" / "higgs_network.py"
FACTS = json.loads((Path(trtllm_standin.__file__).parent / "signatures.json").read_text())
LAYOUT = CodebookLayout(8, 1026, 1024, 1025)
VOCABULARY = LAYOUT.num_codebooks * LAYOUT.codebook_size
MAX_SEQ_LEN, ROWS, BATCH = 96, 24, 3
COLUMNS = 6


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The matrices are small: on a busy machine a second thread makes these tests ten times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def definition(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """build/higgs_network.py as trtllm-build loads it: from the file alone, as a module called `models`."""
    trtllm_standin.install(monkeypatch)
    monkeypatch.setitem(sys.modules, "models", ModuleType("models"))
    return SourceFileLoader("models", str(NETWORK)).load_module()


@pytest.fixture(scope="module")
def converted(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folders: dict[str, Path] = {}

    def convert(precision: str) -> Path:
        if precision not in folders:
            folders[precision] = tmp_path_factory.mktemp(precision)
            trtllm.export(Checkpoint.open(checkpoint), folders[precision], precision, max_positions=MAX_SEQ_LEN)
        return folders[precision]

    return convert


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> HiggsAudioV2ForConditionalGeneration:
    return HiggsAudioV2ForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()


class Speaker:
    """A request as engine/'s executor makes it: text, a clip's columns, text, BOS; then columns, two rows in turn.

    The codes are random: what is compared is the logits after each, not what would be sampled from them.
    """

    def __init__(self, seed: int, directory: Path, texts: tuple[int, int], frames: int) -> None:
        random = np.random.default_rng(seed)
        stored = load_file(directory / "audio_embedding.safetensors")["weight"]
        self._embedding = stored
        first, second = (random.integers(0, 300, length) for length in texts)
        clip = delay(random.integers(0, 1024, (8, frames)), LAYOUT) if frames else np.zeros((0, 8), dtype=np.int64)
        spoken = delay(random.integers(0, 1024, (8, COLUMNS + 8)), LAYOUT)[: COLUMNS + 1]
        self.parts = [first, clip, second, spoken]  # spoken[0] is all BOS and belongs to the prompt
        self._turn = len(clip)  # the first of the two rows in turn
        table = torch.zeros(len(clip) + 2, stored.shape[1], dtype=stored.dtype)
        table[: len(clip)] = self._sum(clip)
        table[self._turn] = self._sum(spoken[:1])[0]
        text = [*(first + VOCABULARY).tolist(), *range(len(clip)), *(second + VOCABULARY).tolist()]
        self.request = Request([*text, self._turn], table)
        self.column = 0

    def speak(self) -> None:
        """What the logits callback does after a step: the next column into the row nobody reads, and that row's id."""
        self.column += 1
        row = self._turn + self.column % 2
        self.request.table[row] = self._sum(self.parts[3][self.column : self.column + 1])[0]
        self.request.ids.append(row)

    def expected(self, model: HiggsAudioV2ForConditionalGeneration) -> torch.Tensor:
        """transformers' logits at BOS and each column after it, float32 [COLUMNS + 1, vocabulary]."""
        first, clip, second, spoken = self.parts
        token = model.config.audio_token_id
        ids = [*first.tolist(), *[token] * len(clip), *second.tolist(), *[token] * len(spoken)]
        columns = torch.from_numpy(np.concatenate([clip, spoken]))[None]
        with torch.no_grad():
            hidden = model.model(input_ids=torch.tensor([ids]), audio_input_ids=columns).last_hidden_state
            return model.audio_lm_head(hidden[0, -len(spoken) :])

    def _sum(self, columns: np.ndarray) -> torch.Tensor:
        offsets = torch.arange(8) * LAYOUT.codebook_size
        return self._embedding[torch.from_numpy(columns) + offsets].float().sum(dim=1).to(self._embedding.dtype)


def load(directory: Path) -> Any:
    """As trtllm-build loads a model: the configuration's class by architecture, then the weights by name."""
    models = sys.modules["tensorrt_llm.models"]
    config = sys.modules["tensorrt_llm.models.modeling_utils"].PretrainedConfig.from_json_file(
        directory / "config.json"
    )
    return models.MODEL_MAP[config.architecture].from_checkpoint(str(directory), config=config)


def speakers(directory: Path) -> list[Speaker]:
    return [
        Speaker(0, directory, texts=(21, 9), frames=12),
        Speaker(1, directory, texts=(7, 13), frames=0),
        Speaker(2, directory, texts=(3, 5), frames=5),
    ]


def runtime(directory: Path) -> Runtime:
    return Runtime(load(directory), BATCH, ROWS, MAX_SEQ_LEN)


def error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference in standard deviations of the logits; infinite for NaN."""
    return ((actual - expected).abs().max() / expected.std()).nan_to_num(float("inf")).item()


def run_alone(runtime: Runtime, speaker: Speaker) -> torch.Tensor:
    steps = [runtime.step([speaker.request])[0]]
    for _ in range(COLUMNS):
        speaker.speak()
        steps.append(runtime.step([speaker.request])[0])
    runtime.finish(speaker.request)
    return torch.stack(steps)


def test_prompts_and_decode_steps_are_transformers(
    definition: ModuleType, converted: Callable[[str], Path], reference: Any, figure: Callable[[str, str], None]
) -> None:
    directory = converted("fp32")
    engine = runtime(directory)
    worst = 0.0
    for speaker in speakers(directory):
        worst = max(worst, error(run_alone(engine, speaker), speaker.expected(reference)))
    figure("network definition on the CPU, fp32", f"logits at most {worst:.1e} deviations off transformers'")
    assert worst <= 1e-5


@pytest.mark.parametrize("chunk", [None, 5])
def test_requests_in_flight_do_not_see_each_other(
    chunk: int | None, definition: ModuleType, converted: Callable[[str], Path], reference: Any
) -> None:
    """They join one after another, their prompts whole or in pieces, and change places in the batch as they do."""
    directory = converted("fp32")
    engine = runtime(directory)
    waiting = speakers(directory)
    live: list[Speaker] = []
    heard: dict[int, list[torch.Tensor]] = {id(speaker): [] for speaker in waiting}
    everyone = list(waiting)
    step = 0
    while waiting or live:
        if waiting and step % 2 == 0:
            live.insert(0, waiting.pop(0))
        logits = engine.step([speaker.request for speaker in live], chunk)
        for speaker, row in zip(list(live), logits, strict=True):
            if speaker.request.in_context:
                continue  # in the middle of its prompt: nobody reads these
            heard[id(speaker)].append(row)
            if speaker.column == COLUMNS:
                engine.finish(speaker.request)
                live.remove(speaker)
            else:
                speaker.speak()
        step += 1
    for speaker in everyone:
        assert error(torch.stack(heard[id(speaker)]), speaker.expected(reference)) <= 1e-5


@pytest.mark.parametrize(
    ("precision", "most"),
    # bf16: eight bits of mantissa in every product of four layers. The others: three times the converter's error.
    [("bf16", 0.2), ("fp8", 1.5), ("int8", 0.3), ("int4", 4.5)],
)
def test_every_precision_loads_and_runs_in_bfloat16(
    precision: str,
    most: float,
    definition: ModuleType,
    converted: Callable[[str], Path],
    reference: Any,
    figure: Callable[[str, str], None],
) -> None:
    """The loader finds every tensor it asks for, quantised parameters included, in its shape and type."""
    directory = converted(precision)
    speaker = speakers(directory)[0]
    actual, expected = run_alone(runtime(directory), speaker).float(), speaker.expected(reference)
    mean = ((actual - expected).abs().mean() / expected.std()).item()
    worst = error(actual, expected)
    figure(
        f"network definition on the CPU, {precision} in bf16 arithmetic",
        f"logits at most {worst:.1e}, on average {mean:.1e} deviations off",
    )
    assert 1e-4 < worst <= most


def test_the_network_declares_inputs_the_runtime_has_and_no_tasks(
    definition: ModuleType, converted: Callable[[str], Path]
) -> None:
    engine = runtime(converted("fp32"))
    engine.step([speakers(converted("fp32"))[1].request])
    assert set(engine.provided) == set(FACTS["runtime_inputs"]["names"])
    assert set(engine.declared) == set(engine.provided) - {"tasks"}


def test_an_engine_without_a_prompt_table_is_refused(definition: ModuleType, converted: Callable[[str], Path]) -> None:
    with (
        net_guard(Network({})),
        pytest.raises(ValueError, match="rows of the prompt table; build with --max_prompt_embedding_table_size"),
    ):
        load(converted("fp32")).prepare_inputs(max_batch_size=1, prompt_embedding_table_size=0)


def test_several_ranks_are_refused(definition: ModuleType, converted: Callable[[str], Path], tmp_path: Path) -> None:
    config = json.loads((converted("fp32") / "config.json").read_text())
    config["mapping"] = {"world_size": 2, "tp_size": 2, "pp_size": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="asks for 2 ranks; this network runs on one GPU"):
        load(tmp_path)


# What can be wrong with the network definition: each is a change of its text, and each must show in the logits.
MISTAKES = {
    "experts exchanged": (
        'experts = functional.cast(is_audio, "int32")',
        'experts = functional.cast(functional.unsqueeze(input_ids > self.vocab_size - 1, 1), "int32")',
    ),
    "one norm for both before attention": (
        "is_audio, self.audio_input_layernorm(hidden_states), self.input_layernorm(hidden_states)",
        "is_audio, self.input_layernorm(hidden_states), self.input_layernorm(hidden_states)",
    ),
    "norms behind attention exchanged": (
        "is_audio, self.audio_post_layernorm(hidden_states), self.post_layernorm(hidden_states)",
        "is_audio, self.post_layernorm(hidden_states), self.audio_post_layernorm(hidden_states)",
    ),
    "everyone reads the first request's table": ("last_token_ids) * prompt_vocab_size", "last_token_ids) * 0"),
    "requests end a token early": (
        "functional.unsqueeze(last_token_ids - 1, 0)",
        "functional.unsqueeze(last_token_ids - 2, 0)",
    ),
    "text ids not brought back": ("0, input_ids - self.vocab_size)", "0, input_ids - self.vocab_size + 1)"),
    "the last norm left out": ("return self.ln_f(hidden_states)", "return hidden_states"),
    "a residual left out": ("return hidden_states + self.mlp(", "return self.mlp("),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_network_shows(
    mistake: str,
    definition: ModuleType,
    converted: Callable[[str], Path],
    reference: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right, wrong = MISTAKES[mistake]
    source = NETWORK.read_text()
    assert source.count(right) == 1, "the network's text has changed; so must this test"
    (tmp_path / "wrong.py").write_text(source.replace(right, wrong))
    SourceFileLoader("models", str(tmp_path / "wrong.py")).load_module()
    directory = converted("fp32")
    engine, pair = runtime(directory), speakers(directory)[::2]  # those with a clip, each with codes of its own
    first = engine.step([speaker.request for speaker in pair])
    expected = torch.stack([speaker.expected(reference)[0] for speaker in pair])
    assert error(first, expected) > 1e-2


def arguments(function: Callable[..., Any]) -> list[str]:
    """The names as signatures.json has them: in order, `=` behind one with a default, `*` before keywords, `**`."""
    names: list[str] = []
    call = function.__init__ if inspect.isclass(function) else function
    for parameter in inspect.signature(call).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind == parameter.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        optional = "" if parameter.default is parameter.empty else "="
        names.append("**" if parameter.kind == parameter.VAR_KEYWORD else parameter.name + optional)
    return names


@pytest.mark.parametrize("name", FACTS["callables"])
def test_the_stand_ins_arguments_are_tensorrt_llms(name: str, definition: ModuleType) -> None:
    path, found = name.split("."), sys.modules["tensorrt_llm"]
    for part in path:
        found = getattr(found, part)
    known = FACTS["callables"][name]
    assert known["file"] and known["version"], "a fact has a source"
    assert arguments(found) == known["arguments"]


def test_everything_the_network_uses_is_known() -> None:
    """What it imports from tensorrt_llm, or takes from `functional`, has a stored signature if it is a function."""
    plain = {"models.MODEL_MAP", "layers.AttentionMaskType", "module.Module", "functional"}
    used = set()
    for node in ast.walk(ast.parse(NETWORK.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tensorrt_llm"):
            prefix = node.module.removeprefix("tensorrt_llm").lstrip(".")
            used |= {f"{prefix}.{name.name}".lstrip(".") for name in node.names}
        elif isinstance(node, ast.Import):
            assert not any(name.name.startswith("tensorrt") for name in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "functional":
            used.add(f"functional.{node.attr}")
    assert used - plain <= set(FACTS["callables"])
    assert plain <= used


def test_the_runtime_asks_for_inputs_as_trtllm_build_does() -> None:
    source = ast.parse(inspect.getsource(sys.modules[Runtime.__module__]))
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call)]
    (call,) = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "prepare_inputs"]
    assert {keyword.arg for keyword in call.keywords} == set(FACTS["build_inputs"]["names"])


def test_a_wrong_argument_name_fails(definition: ModuleType) -> None:
    """The stand-in takes no argument TensorRT-LLM does not take: were one misspelt here, it would be in production."""
    layers = sys.modules["tensorrt_llm.layers"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'epsilon'"):
        layers.RmsNorm(normalized_shape=4, epsilon=1e-5, dtype="float32")
    functional = sys.modules["tensorrt_llm.functional"]
    with pytest.raises(AttributeError):
        functional.index_select  # noqa: B018 - exists in TensorRT-LLM, but the network has no use for it

"""Writes the stand-in's model repository: the bundle's model names and tensors, without its weights."""

import shutil
from pathlib import Path

HERE = Path(__file__).parent

Tensor = tuple[str, str, int | str]  # name, Triton type, size of its one dimension (-1: any), or several

TEXT: Tensor = ("text", "STRING", 1)
VOICE: Tensor = ("voice", "STRING", 1)
REFERENCE_AUDIO: Tensor = ("reference_audio", "FP32", -1)
REFERENCE_TEXT: Tensor = ("reference_text", "STRING", 1)
OPTIONS: Tensor = ("options", "STRING", 1)
ORDER: Tensor = ("order", "STRING", 1)
REFERENCE: Tensor = ("reference", "FP32", -1)
CONTROL: Tensor = ("control", "STRING", 1)
SAMPLES: Tensor = ("samples", "FP32", -1)
START: Tensor = ("start", "INT64", 1)
REASON: Tensor = ("reason", "STRING", 1)
PART_NUMBER: Tensor = ("part_number", "INT32", 1)
WHO: Tensor = ("who", "STRING", 1)
ABOUT: Tensor = ("about", "STRING", 1)
WORDS: Tensor = ("words", "STRING", 1)
FAULT: Tensor = ("fault", "STRING", 1)
AUDIO: Tensor = ("audio", "FP32", -1)
START_SAMPLE: Tensor = ("start_sample", "INT64", 1)
PART: Tensor = ("part", "INT32", 1)
SPEAKER: Tensor = ("speaker", "STRING", 1)
FINISH_REASON: Tensor = ("finish_reason", "STRING", 1)
REPORT: Tensor = ("report", "STRING", 1)
SAID: Tensor = ("said", "STRING", 1)
COMMAND: Tensor = ("command", "STRING", 1)
NAME: Tensor = ("name", "STRING", 1)
TRANSCRIPT: Tensor = ("transcript", "STRING", 1)
METADATA: Tensor = ("metadata", "STRING", 1)
REPLACE: Tensor = ("replace", "BOOL", 1)
RESULT: Tensor = ("result", "STRING", 1)
EMBEDDING: Tensor = ("embedding", "INT32", "-1, -1")

REQUEST = [TEXT, VOICE, REFERENCE_AUDIO, REFERENCE_TEXT, OPTIONS]
RESPONSE = [AUDIO, START_SAMPLE, PART, SPEAKER, FINISH_REASON, REPORT, SAID]
WINDOW = [SAMPLES, START, PART_NUMBER, WHO, REASON, ABOUT, WORDS, FAULT]
VOICE_REQUEST = [COMMAND, NAME, AUDIO, TRANSCRIPT, METADATA, REPLACE]


def write_repository(root: Path, events: Path) -> None:
    """Fill the folder `root`; the `lm` model will append its events to the file `events`."""
    parameters = {"sample_rate": "24000", "reference_min_seconds": "1.0", "reference_max_seconds": "30.0"}
    _python_model(root, "prompt", REQUEST, [ORDER, REFERENCE], optional=REQUEST[1:])
    _python_model(
        root, "lm", [ORDER, REFERENCE, CONTROL], WINDOW, optional=[ORDER, REFERENCE, CONTROL],
        decoupled=True, parameters={"events": str(events)},
    )  # fmt: skip
    _python_model(root, "pcm", WINDOW, RESPONSE)
    _python_model(root, "voices", VOICE_REQUEST, [RESULT, AUDIO, EMBEDDING], optional=VOICE_REQUEST[1:])
    ensemble = (
        'platform: "ensemble"\nensemble_scheduling { step [\n'
        f"{_step('prompt', REQUEST, [ORDER, REFERENCE])},\n"
        f"{_step('lm', [ORDER, REFERENCE], WINDOW)},\n{_step('pcm', WINDOW, RESPONSE)}\n] }}\n"
    )
    _model(root, "higgs_audio_v2", REQUEST, RESPONSE, ensemble, optional=REQUEST[1:], parameters=parameters)


def _python_model(root: Path, name: str, inputs: list[Tensor], outputs: list[Tensor], *,
                  optional: list[Tensor] | None = None, decoupled: bool = False,
                  parameters: dict[str, str] | None = None) -> None:  # fmt: skip
    extra = 'backend: "python"\ninstance_group [{ count: 1 kind: KIND_CPU }]\n'
    if decoupled:
        extra += "model_transaction_policy { decoupled: true }\n"
    folder = _model(root, name, inputs, outputs, extra, optional=optional or [], parameters=parameters or {})
    shutil.copy(HERE / f"{name}.py", folder / "1" / "model.py")


def _model(root: Path, name: str, inputs: list[Tensor], outputs: list[Tensor], extra: str, *,
           optional: list[Tensor], parameters: dict[str, str]) -> Path:  # fmt: skip
    folder = root / name
    (folder / "1").mkdir(parents=True)
    lines = [f'name: "{name}"', "max_batch_size: 0", extra]
    lines += [_declaration("input", tensor, tensor in optional) for tensor in inputs]
    lines += [_declaration("output", tensor, False) for tensor in outputs]
    lines += [f'parameters {{ key: "{k}" value {{ string_value: "{v}" }} }}' for k, v in parameters.items()]
    (folder / "config.pbtxt").write_text("\n".join(lines) + "\n")
    return folder


def _declaration(kind: str, tensor: Tensor, optional: bool) -> str:
    name, dtype, size = tensor
    mark = " optional: true" if optional else ""
    return f'{kind} [{{ name: "{name}" data_type: TYPE_{dtype} dims: [ {size} ]{mark} }}]'


def _step(model: str, inputs: list[Tensor], outputs: list[Tensor]) -> str:
    maps = [f'input_map {{ key: "{name}" value: "{name}" }}' for name, _, _ in inputs]
    maps += [f'output_map {{ key: "{name}" value: "{name}" }}' for name, _, _ in outputs]
    return f'{{ model_name: "{model}" model_version: -1 {" ".join(maps)} }}'

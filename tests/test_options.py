"""An option is one entry of one table; whatever repeats it follows."""

from __future__ import annotations

from typing import Any

import pytest
from higgs_tts.cli import arguments

from runtime.formats import options
from runtime.formats.errors import InvalidRequestError
from runtime.formats.options import GenerationParams, Option, OptionLimits
from runtime.formats.speech_plan import WindowPlan
from runtime.text.request_options import parse_options
from tools.options import CLIENT, client_class, formatted, page_table

LIMITS = OptionLimits(1026, 0.04, 7200.0, 120.0, 7200.0, 7, 2, 64, 60, "all", 2000)


@pytest.fixture
def warmth(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has an option more."""
    monkeypatch.setitem(options.OPTIONS, "warmth", Option("How warm the voice is.", 0.5, 0.0, 1.0))
    monkeypatch.setitem(options.KINDS, "warmth", float)


def clients_class() -> Any:
    """The client's GenerationParams as the table has it now."""
    module: dict[str, Any] = {"__name__": "higgs_tts.params"}
    exec(client_class().replace("from __future__ import annotations", ""), module)
    return module["GenerationParams"]


@pytest.mark.usefixtures("warmth")
def test_a_new_option_is_in_the_clients_class() -> None:
    assert clients_class()(warmth=0.25).to_options() == {"warmth": 0.25}


@pytest.mark.usefixtures("warmth")
def test_a_new_option_is_a_flag_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arguments, "GenerationParams", clients_class())
    monkeypatch.setitem(arguments.OPTION_TYPES, "warmth", float)
    with pytest.raises(SystemExit):
        arguments.parse_arguments(["--help"])
    assert "--warmth VALUE" in (helped := capsys.readouterr().out)
    assert "How warm the voice is." in helped
    params: Any = arguments.generation_params(arguments.parse_arguments(["Hi", "--warmth", "0.5"]))
    assert params.warmth == 0.5


@pytest.mark.usefixtures("warmth")
def test_a_new_option_is_in_the_page_of_documentation() -> None:
    (line,) = (line for line in page_table().splitlines() if "`warmth`" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "`warmth`", "`0.5`", "0 to 1", "How warm the voice is.",
    ]  # fmt: skip


@pytest.mark.usefixtures("warmth")
def test_a_new_option_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"warmth is 3; it must be from 0\.0 to 1\.0"):
        parse_options('{"warmth": 3}', LIMITS)
    with pytest.raises(InvalidRequestError, match="warmth must be a number, not 'very'"):
        parse_options('{"warmth": "very"}', LIMITS)


def test_the_clients_class_is_written_from_the_table() -> None:
    assert CLIENT.read_text() == formatted(client_class()), "python -m tools.options writes it"


def test_every_default_is_in_range() -> None:
    for preset in options.AUDIO_QUALITY_PRESETS:
        params = parse_options(f'{{"preset": "{preset}"}}', LIMITS)
        assert isinstance(params, GenerationParams)
        for name, one in options.OPTIONS.items():
            value = getattr(params, name)
            if one.choices:
                assert value in one.choices
            elif isinstance(one.low, float | int) and isinstance(value, float | int):
                assert value >= one.low


@pytest.mark.parametrize("preset", options.AUDIO_QUALITY_PRESETS)
@pytest.mark.parametrize("speed", [1.52, 2.0, 4.0, 100.0])
def test_a_player_of_the_default_chunks_never_runs_dry(preset: str, speed: float) -> None:
    """Where a stream gets that many seconds of audio a second, however long it is."""
    params = parse_options(f'{{"preset": "{preset}"}}', LIMITS)
    first, longest = (round(s / LIMITS.frame_seconds) for s in (params.first_chunk_seconds, params.max_chunk_seconds))
    plan = WindowPlan(first, params.chunk_growth, longest)
    made = heard = 0.0
    for index in range(60):
        made += plan.size(index) / speed
        assert made <= heard or index == 0, f"chunk {index} comes too late"
        heard = max(made, heard) + plan.size(index)

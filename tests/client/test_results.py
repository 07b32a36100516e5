"""The journal survives whatever a crash leaves."""

import json
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import pytest
from higgs_tts import GenerationParams, HiggsError
from higgs_tts.cli.manifest import Item
from higgs_tts.cli.results import Failed, Results, Spoken

from .conftest import CLIENT

AUDIO = b"as good as audio"


def item(name: str) -> Item:
    return Item(1, f"text of {name}", None, None, GenerationParams(), name)


def spoken(name: str) -> Spoken:
    return Spoken(
        id=name,
        content=item(name).content,
        file=f"{name}.wav",
        sha256=sha256(AUDIO).hexdigest(),
        seconds=1.5,
        finish_reason="stop",
        seed=None,
        time_to_first_audio=0.1,
        real_time_factor=0.2,
        retries=0,
    )


def speak(results: Results, name: str) -> None:
    (results.folder / f"{name}.wav").write_bytes(AUDIO)
    results.append(spoken(name))


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    failed = Failed("ü", item("ü").content, "OverloadedError", "full\nup", 3)
    with Results(tmp_path / "new" / "folder") as results:
        speak(results, "a")
        results.append(failed)
    with Results(tmp_path / "new" / "folder") as results:
        assert (results.latest(item("a")), results.latest(item("ü"))) == (spoken("a"), failed)
        assert (results.done(item("a"), "a.wav"), results.done(item("ü"), "ü.wav")) == (spoken("a"), None)
    assert results.path.read_text("utf-8").splitlines() == [
        json.dumps(asdict(each), ensure_ascii=False) for each in (spoken("a"), failed)
    ]


def test_the_last_line_of_an_id_holds(tmp_path: Path) -> None:
    with Results(tmp_path) as results:
        results.append(Failed("a", item("a").content, "OverloadedError", "full", 3))
        speak(results, "a")
        assert results.done(item("a"), "a.wav")
        results.append(Failed("a", "another content", "OverloadedError", "full", 3))
    with Results(tmp_path) as results:
        assert results.latest(item("a")) is None
        assert results.done(item("a"), "a.wav") is None


@pytest.mark.parametrize(
    "damage",
    {
        "missing": lambda file: file.unlink(),
        "cut": lambda file: file.write_bytes(AUDIO[:-1]),
        "empty": lambda file: file.write_bytes(b""),
        "of the same length": lambda file: file.write_bytes(AUDIO[::-1]),
    }.items(),
    ids=lambda damage: damage[0],
)
def test_an_item_without_its_whole_file_is_not_done(tmp_path: Path, damage) -> None:
    with Results(tmp_path) as results:
        speak(results, "a")
        damage[1](tmp_path / "a.wav")
        assert results.done(item("a"), "a.wav") is None


def test_a_changed_item_and_another_format_are_not_done(tmp_path: Path) -> None:
    with Results(tmp_path) as results:
        speak(results, "a")
        assert results.done(replace(item("a"), text="another"), "a.wav") is None
        assert results.done(item("a"), "a.flac") is None


def test_a_journal_cut_anywhere_keeps_every_whole_line_and_goes_on(tmp_path: Path) -> None:
    with Results(tmp_path) as results:
        for name in "abc":
            results.append(spoken(name))
    whole = results.path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        results.path.write_bytes(whole[:cut])
        with Results(tmp_path) as results:
            kept = [name for name, end in zip("abc", ends, strict=True) if end <= cut]
            assert [name for name in "abc" if results.latest(item(name))] == kept
            results.append(spoken("d"))
        lines = [json.loads(line)["id"] for line in results.path.read_text().splitlines()]
        assert lines == [*kept, "d"]


@pytest.mark.parametrize(
    "line", ["", "[]", "{}", '{"id": "a"}', '{"id": 3, "error": "x"}', "\0\0", '{"id": "a", "x": 1}']
)
def test_a_line_that_is_no_result_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    with Results(tmp_path) as results:
        results.append(spoken("a"))
    with results.path.open("a") as file:
        file.write(line + "\n")
    before = results.path.read_bytes()
    with pytest.raises(HiggsError, match=r"results\.jsonl, line 2: is no result"):
        Results(tmp_path)
    assert results.path.read_bytes() == before


def test_a_second_batch_in_the_folder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from higgs_tts.cli.results import Results
        results = Results(Path({str(tmp_path)!r}))
        print("here", flush=True)
        sys.stdin.read()
    """
    first = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": str(CLIENT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert first.stdout is not None and first.stdout.readline() == b"here\n"
        with pytest.raises(HiggsError, match="Another batch is writing into"):
            Results(tmp_path)
    finally:
        first.kill()
        first.communicate()
    Results(tmp_path).__exit__()


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_trace(tmp_path: Path) -> None:
    script = f"""
        import errno, resource, signal
        from pathlib import Path
        from tests.client.test_results import spoken
        from higgs_tts.cli.results import Results
        with Results(Path({str(tmp_path)!r})) as results:
            results.append(spoken("a"))
            size = results.path.stat().st_size
            # A limit on the file's size writes a part of the line and then fails, as a full disk does.
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, size + 20))
            try:
                results.append(spoken("b"))
            except OSError as error:
                print(error.filename)
            assert results.path.stat().st_size == size
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": f"{CLIENT}:{CLIENT.parent}"}, capture_output=True, timeout=15, check=False,
    )  # fmt: skip
    assert (result.stderr, result.stdout.decode().strip()) == (b"", str(tmp_path / "results.jsonl"))
    with Results(tmp_path) as results:
        assert (results.latest(item("a")), results.latest(item("b"))) == (spoken("a"), None)

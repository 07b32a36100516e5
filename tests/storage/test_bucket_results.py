"""A bucket as the only memory of a batch: what is done, what is whose, what is replaced."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from higgs_tts import GenerationParams, HiggsClient, InvalidRequestError
from higgs_tts.cli.batch import Batch
from higgs_tts.cli.bucket_results import BucketResults
from higgs_tts.cli.command import main
from higgs_tts.cli.files import Files, Place, beside, place
from higgs_tts.cli.manifest import Item, ReferenceFile, read_manifest
from higgs_tts.cli.results import Failed, Spoken
from higgs_tts.cli.servers import Servers
from higgs_tts.storage import Storage, StorageError

from tests.buckets import BUCKET, Buckets

PARAMS = GenerationParams(seed=7, scene="Eine Halle, groß", speakers={"Anna": "slt"})


def item(name: str, text: str = "Guten Tag") -> Item:
    return Item(1, text, "Zoë", None, PARAMS, name)


def spoken(item: Item, audio: bytes = b"sound", took: float = 0.125) -> Spoken:
    return Spoken(
        item.id, item.content, f"{item.id}.wav", sha256(audio).hexdigest(), 1.5, "length", 7, took, 0.25, 1, 2, "b1"
    )


def results(*items: Item) -> BucketResults:
    """What a batch of these items begins with."""
    made = BucketResults(Storage(f"s3://{BUCKET}/run"))
    made.look({f"{item.id}.wav": item for item in items})
    return made


def speak(into: BucketResults, result: Spoken, audio: bytes = b"sound") -> object:
    (into.folder / result.file).write_bytes(audio)
    return into.append(result)


def test_what_was_spoken_is_read_from_its_metadata(buckets: Buckets) -> None:
    a, b = item("a"), item("ü b")
    with results(a, b) as first:
        assert (first.done(a, "a.wav"), first.latest(a)) == (None, None)
        assert speak(first, spoken(a)) == spoken(a)
        bare = replace(spoken(b), seed=None, time_to_first_audio=None, real_time_factor=None, bundle="")
        assert speak(first, bare) == bare
        assert not list(first.folder.iterdir())
    assert not first.folder.exists()
    with results(a, b) as second:
        assert (second.done(a, "a.wav"), second.done(b, "ü b.wav")) == (spoken(a), bare)
    with results(item("a", "Gute Nacht")) as third:
        assert third.done(item("a", "Gute Nacht"), "a.wav") is None


def test_metadata_say_what_was_asked_for_and_what_came(buckets: Buckets) -> None:
    a = item("a")
    b = Item(2, "hi", None, ReferenceFile(Path("x"), "12ab", "la"), GenerationParams(scene="ß" * 500), "b")
    with results(a, b) as made:
        speak(made, spoken(a))
        speak(made, replace(spoken(b), seed=None))
    storage = Storage(f"s3://{BUCKET}/run")
    found, other = storage.find("a.wav"), storage.find("b.wav")
    assert found is not None and other is not None
    options = json.loads(found.metadata["options"])
    assert options == {"scene": "Eine Halle, groß", "speakers": {"Anna": "slt"}}
    assert dict(found.metadata) == {
        "content": a.content, "sha256": sha256(b"sound").hexdigest(), "text-sha256": sha256(b"Guten Tag").hexdigest(),
        "voice": "Zoë", "seed": "7", "options": found.metadata["options"], "bundle": "b1", "finish-reason": "length",
        "seconds": "1.5", "time-to-first-audio": "0.125", "real-time-factor": "0.25", "retries": "1",
        "part-retries": "2",
    }  # fmt: skip
    assert len(other.metadata["options-sha256"]) == 64 and other.metadata["reference-sha256"] == "12ab"
    assert not {"options", "voice", "seed"} & other.metadata.keys()


def test_a_fresh_batch_asks_for_no_item_alone(buckets: Buckets) -> None:
    some = [item(f"{number}") for number in range(40)]
    with results(*some) as made:
        for one in some:
            assert not made.taken(one, f"{one.id}.wav")
            speak(made, spoken(one))
    assert (buckets.counted("GET"), buckets.counted("HEAD"), buckets.counted("PUT")) == (1, 0, 40)
    with results(*some[:5]):
        assert buckets.counted("HEAD") == 5


def test_who_is_second_throws_its_own_away_and_looks_from_then_on(buckets: Buckets) -> None:
    a, b = item("a"), item("b")
    with results(a, b) as first, results(a, b) as second:
        speak(first, spoken(a))
        speak(first, spoken(b))
        assert not second.taken(a, "a.wav") and buckets.counted("HEAD") == 0
        assert speak(second, spoken(a, b"noise", 0.5), b"noise") is None
        assert second.latest(a) == spoken(a)
        assert second.taken(b, "b.wav") and second.latest(b) == spoken(b)
        assert not second.taken(item("c"), "c.wav")
    assert Storage(f"s3://{BUCKET}/run").read("a.wav") == b"sound"


def test_a_batch_ends_when_it_cannot_look_whether_others_were_there(buckets: Buckets) -> None:
    a, b = item("a"), item("b")
    second = BucketResults(Storage(f"s3://{BUCKET}/run", seconds=0.2))
    second.look({"a.wav": a, "b.wav": b})
    with results(a) as first, second, Servers(["127.0.0.1:1"], lambda url, _: HiggsClient(url)) as servers:
        speak(first, spoken(a))
        assert speak(second, spoken(a, took=0.5)) is None
        buckets.fail_every = 1
        with pytest.raises(StorageError, match="500 Internal Server Error"):
            list(Batch(servers, second, retries=0).run([b]))


@pytest.mark.parametrize("there", [False, True])
def test_a_lost_answer_is_no_other_batch(buckets: Buckets, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    old, new = item("a"), item("a", "Gute Nacht")
    if there:
        with results(old) as before:
            speak(before, spoken(old))
    write = Storage.write

    def repeated(*words: object, **more: object) -> None:
        """As the library repeats a request whose answer did not arrive."""
        write(*words, **more)
        write(*words, **more)

    monkeypatch.setattr(Storage, "write", repeated)
    with results(new) as made:
        assert speak(made, spoken(new, b"night"), b"night") == spoken(new, b"night")
        assert not made.taken(item("b"), "b.wav") and buckets.counted("HEAD") == 1 + there


def test_what_changed_is_replaced_if_it_is_what_was_looked_at(buckets: Buckets) -> None:
    old, new, newer = item("a"), item("a", "Gute Nacht"), item("a", "Guten Morgen")
    with results(old) as made:
        speak(made, spoken(old))
    with results(new) as second, results(newer) as third:
        assert speak(second, spoken(new, b"night"), b"night") == spoken(new, b"night")
        lost = speak(third, spoken(newer, b"morning"), b"morning")
    assert isinstance(lost, Failed) and lost.error == "AlreadyStoredError" and "has changed meanwhile" in lost.message
    assert Storage(f"s3://{BUCKET}/run").read("a.wav") == b"night"


def test_what_was_removed_meanwhile_is_created(buckets: Buckets) -> None:
    old, new = item("a"), item("a", "Gute Nacht")
    with results(old) as made:
        speak(made, spoken(old))
    with results(new) as second:
        Storage(f"s3://{BUCKET}/run").remove("a.wav")
        assert speak(second, spoken(new, b"night"), b"night") == spoken(new, b"night")
    assert Storage(f"s3://{BUCKET}/run").read("a.wav") == b"night"


@pytest.mark.parametrize("metadata", [{}, {"content": "x"}, {"content": item("a").content, "seconds": "long"}])
def test_what_is_no_result_of_ours_is_not_done(buckets: Buckets, metadata: dict[str, str]) -> None:
    Storage(f"s3://{BUCKET}/run").write("a.wav", b"something", metadata)
    with results(item("a")) as made:
        assert made.done(item("a"), "a.wav") is None
        assert speak(made, spoken(item("a"))) == spoken(item("a"))
    assert Storage(f"s3://{BUCKET}/run").read("a.wav") == b"sound"


def test_failures_are_remembered_while_it_runs(buckets: Buckets) -> None:
    failed = Failed("a", item("a").content, "OverloadedError", "full", 3)
    with results(item("a")) as made:
        assert made.append(failed) == made.latest(item("a")) == failed
        assert made.done(item("a"), "a.wav") is None
    assert not buckets.objects


def test_a_bucket_that_is_not_there(buckets: Buckets) -> None:
    with BucketResults(Storage("s3://other/run")) as made, pytest.raises(StorageError, match="There is no bucket"):
        made.look({"a.wav": item("a")})


@pytest.mark.parametrize(
    ("file", "name", "there"),
    [
        (Path("jobs/m.jsonl"), "clips/me.wav", Path("jobs/clips/me.wav")),
        (Path("jobs/m.jsonl"), "/clips/me.wav", Path("/clips/me.wav")),
        (Path("jobs/m.jsonl"), "s3://b/me.wav", "s3://b/me.wav"),
        ("s3://b/jobs/m.jsonl", "clips/me 1#.wav", "s3://b/jobs/clips/me 1#.wav"),
        ("s3://b/jobs/m.jsonl", "../me.wav", "s3://b/me.wav"),
        ("s3://b/jobs/m.jsonl", "../../../me.wav", "s3://b/me.wav"),
        ("s3://b/m.jsonl", "./a//me.wav", "s3://b/a/me.wav"),
        ("s3://b/m.jsonl", "gs://c/me.wav", "gs://c/me.wav"),
        ("s3://b/m.jsonl", "file:///c/me.wav", Path("/c/me.wav")),
        ("s3://b/m.jsonl", "/c/me.wav", Path("/c/me.wav")),
    ],
)
def test_a_name_is_read_from_the_place_of_what_names_it(file: Place, name: str, there: Place) -> None:
    assert beside(file, name) == there
    assert place(str(there)) == there


def test_a_manifest_and_its_recordings_may_be_in_buckets(buckets: Buckets, tmp_path: Path) -> None:
    storage = Storage(f"s3://{BUCKET}")
    (tmp_path / "me.wav").write_bytes(b"my voice")
    for name in ("jobs/clips/me.wav", "you.wav"):
        storage.write(name, b"my voice")
    names = ["clips/me.wav", "../you.wav", f"s3://{BUCKET}/you.wav", str(tmp_path / "me.wav")]
    lines = [{"id": str(n), "text": "hi", "reference": name, "reference_text": "la"} for n, name in enumerate(names)]
    storage.write("jobs/m.jsonl", "\n".join(map(json.dumps, lines)).encode())
    items = read_manifest(f"s3://{BUCKET}/jobs/m.jsonl")
    assert len({item.content for item in items}) == 1
    assert [Files().read(item.reference.path) for item in items if item.reference] == [b"my voice"] * 4


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"text": "hi", "reference": "no.wav", "reference_text": "la"}', "'no.wav': No such file or directory"),
        ('{"text": "hi", "reference": "ftp://a/b", "reference_text": "la"}', "'ftp://a/b' is no address|is no address"),
        ('{"text": "hi", "reference": "s3://none/b", "reference_text": "la"}', "There is no bucket s3://none"),
    ],
)
def test_a_recording_that_cannot_be_read_is_told_with_its_line(buckets: Buckets, line: str, sentence: str) -> None:
    Storage(f"s3://{BUCKET}").write("m.jsonl", b'{"text": "ho"}\n' + line.encode())
    with pytest.raises(InvalidRequestError, match=rf"^s3://{BUCKET}/m\.jsonl, line 2: .*({sentence})"):
        read_manifest(f"s3://{BUCKET}/m.jsonl")


@pytest.mark.parametrize(
    "address",
    ["s3://", "s3://bucket", "s3://bucket/", "s3://bucket/folder/", "s3://bucket/a//b", "s3://bucket/../b"],
)
def test_an_address_that_names_no_file(address: str) -> None:
    for call in (Files().read, Files().check):
        with pytest.raises(InvalidRequestError, match="names no file in a bucket: give s3://bucket/folder/name"):
            call(address)


@pytest.mark.parametrize("address", ["S3://bucket/folder/name", "s4://bucket/name", "http://bucket/name"])
def test_what_looks_like_an_address_is_no_path(address: str) -> None:
    assert place(address) == address
    with pytest.raises(InvalidRequestError, match="no address of a storage: give a folder, s3://bucket/prefix"):
        Files().read(address)


@pytest.mark.parametrize("words", [["", "--out", "x"], ["m", "--out", ""], ["m", "--out=x", "--parquet=file://"]])
def test_an_empty_place_is_not_the_folder_where_one_is(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["batch", *words])
    assert "it is empty; give a path or s3://bucket/" in capsys.readouterr().err


def test_a_table_has_a_place_before_anything_is_spoken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.jsonl").write_text('{"text": "hi"}')
    for wrong in ("s3://bucket/", str(tmp_path)):
        words = ["batch", str(tmp_path / "m.jsonl"), "--out", str(tmp_path / "out"), "--parquet", wrong]
        assert main([*words, "--url", "127.0.0.1:1", "--retries", "0"]) == 1
        assert "names no file" in (told := capsys.readouterr().err) or "Is a directory" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_file_is_written_whole(buckets: Buckets, tmp_path: Path, where: str) -> None:
    file = place(f"s3://{BUCKET}/deep/er/file" if where == "bucket" else str(tmp_path / "deep" / "er" / "file"))
    for content in (b"first", b"second"):
        Files().write(file, content)
        assert Files().read(file) == content
    assert len(list((tmp_path / "deep" / "er").iterdir()) if isinstance(file, Path) else buckets.objects) == 1

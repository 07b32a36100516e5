"""What the launcher's command line refuses, and how."""

from __future__ import annotations

import pytest

from serve.arguments import parse


@pytest.mark.parametrize(
    ("bundle", "seconds"),
    [("s3://bucket/bundle", word) for word in ("0", "-1", "nan", "inf", "1e300")] + [("artifacts/cpu", "60")],
)
def test_updates_are_of_what_was_published_and_in_time(
    bundle: str, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([bundle, f"--update={seconds}"])
    assert "--update takes seconds above 0, and a bundle that was published" in capsys.readouterr().err
    assert parse(["s3://bucket/bundle", "--update", "60"]).update == 60

"""What `export` tells when it ends, however it ends."""

from __future__ import annotations

import json

import pytest

from edge.cli.export_told import Told
from profiles.errors import ConfigError, ExportError
from tests.plans import artifact


def test_an_interruption_hides_nothing_that_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(told: Told) -> None:
        with told:
            with told.one():
                told.made([artifact()])
            with told.one():
                raise KeyboardInterrupt

    for as_json in (False, True):
        with pytest.raises(KeyboardInterrupt):
            interrupted(Told(as_json, None))
        printed = capsys.readouterr().out
        assert "resnet18" in printed
        assert not as_json or json.loads(printed)["artifacts"][0]["model"] == "resnet18"


def test_a_lone_error_is_raised_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    error = ExportError("no such backbone")

    def failing() -> None:
        with (told := Told(True, None)), told.one():
            raise error

    with pytest.raises(ExportError) as caught:
        failing()
    assert caught.value is error
    assert capsys.readouterr().out == ""


def test_several_errors_are_all_told_and_nothing_made_is_no_part_of_success(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(True, None)
    with told:
        for error in (ExportError("first"), ConfigError("second")):
            with told.one():
                raise error
    printed = capsys.readouterr()
    assert [one["message"] for one in json.loads(printed.out)["failed"]] == ["first", "second"]
    assert "0 made, 2 failed" in printed.err
    assert told.code == 2

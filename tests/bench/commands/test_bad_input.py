"""Bad input of every benchmark is refused before anything is measured."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from bench.cli import PROGRAM
from dermforge.common.errors import UserError


@pytest.mark.parametrize(
    "options",
    [
        ["engine", "--model", "nowhere"],
        ["paper", "--model", "nowhere"],
        ["engine", "--peer", "comfy"],
        ["all", "--only", "nothing"],
        ["engine-files", "--model", "nowhere"],
        ["engine-files", "--precision", "fp8"],
        ["sample", "--peer", "comfy"],
        ["roofline", "--precision", "fp7"],
        ["roofline", "--device", "cpu", "--precision", "fp8"],
        ["train", "--model", "resnet5"],
        ["train", "--size", "3"],
        ["cost", "nowhere"],
        ["anchors", "nowhere"],
        ["cost", "--price", "cheap"],
    ],
)
def test_bad_input_is_said_before_anything_is_measured(options: list[str]) -> None:
    """A user's mistake is a UserError with the remedy, not a traceback after an hour."""
    result = CliRunner().invoke(PROGRAM.app(), options)
    assert isinstance(result.exception, UserError), result.output

"""The commands explain themselves."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from evalsuite.cli import PROGRAM


@pytest.mark.parametrize("command", PROGRAM.commands)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = CliRunner().invoke(PROGRAM.app([command]), [command, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.output

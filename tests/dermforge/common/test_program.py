"""A program's commands: the one that is wanted is whole, of the others the help text is enough."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dermforge import __version__
from dermforge.common.program import Program

COMMAND = '''
"""A module that must be imported only for its command."""
from pathlib import Path

Path("imported").touch()


def greet(name: str) -> None:
    """Greet somebody.

    Example: greet Ada
    """
    print(f"hello {name}")
'''


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    (tmp_path / "greeting_command.py").write_text(COMMAND)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "greeting_command", raising=False)
    return Program("Words.", {"greet": "greeting_command:greet"})


def test_an_outline_has_the_help_and_imports_nothing(program: Program) -> None:
    done = CliRunner().invoke(program.app([]), ["--help"])
    assert done.exit_code == 0
    assert "Greet somebody." in done.stdout
    assert not Path("imported").exists()


@pytest.mark.parametrize("wanted", [None, ["greet"]])
def test_a_wanted_command_runs(program: Program, wanted: list[str] | None) -> None:
    done = CliRunner().invoke(program.app(wanted), ["greet", "Ada"])
    assert (done.exit_code, done.stdout) == (0, "hello Ada\n")
    assert Path("imported").exists()


@pytest.mark.parametrize("line", ["import not_there.part", "def greet(): import not_there"])
def test_a_missing_package_is_named_in_one_line(line: str, tmp_path: Path) -> None:
    """Whether the command's module needs it, or only its work."""
    (tmp_path / "greeting.py").write_text(f"{line}\n")
    find = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    code = (
        f"{find}; from dermforge.common.program import Program; Program('Words.', {{'greet': 'greeting:greet'}}).run()"
    )
    done = subprocess.run([sys.executable, "-c", code, "greet"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: not_there is not installed; install it")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("door", ["bench", "dermforge"])
def test_by_either_way(door: str) -> None:
    words = ["bench", "gpu", "out"] if door == "bench" else ["dermforge", "bench", "gpu", "out"]
    code = f"import sys; sys.modules['pydantic'] = None; sys.argv = {words}; from {door}.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pydantic is not installed" in done.stderr


def test_the_version_needs_no_command(program: Program) -> None:
    done = CliRunner().invoke(program.app([]), ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"dermforge {__version__}\n")


@pytest.mark.parametrize("words", [["gen", "inspect", "nowhere"], ["shards", "info", "nowhere"]])
def test_a_sub_command_of_dermforge_fails_as_the_program_does(words: list[str], tmp_path: Path) -> None:
    """The same one line and exit status, by either way."""
    whole, alone = (
        subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
        for code in (
            "from dermforge.cli import main; main()",
            "import sys; from importlib import import_module; sys.argv.pop(0); "
            "import_module(f'{sys.argv[0]}.cli').main()",
        )
    )
    assert whole.returncode == alone.returncode == 2
    assert whole.stderr == alone.stderr
    assert whole.stderr.startswith("error: ")

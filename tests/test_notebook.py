"""The notebook: valid, stored without outputs, only by `import dermforge`, and it ends in a card."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "tutorial" / "dermforge.ipynb"
TONES = ("very_light", "light", "intermediate", "tan", "brown", "dark")
nbformat = pytest.importorskip("nbformat", reason="nbformat is a development dependency")


def code() -> list[str]:
    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_it_is_a_notebook_of_the_format_and_stored_without_outputs() -> None:
    """nbformat itself reads, checks and writes it to the same bytes: a diff shows what a person changed."""
    text = NOTEBOOK.read_text(encoding="utf-8")
    book = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(book)
    assert nbformat.writes(book) + "\n" == text
    for cell in book.cells:
        assert set(cell.metadata) == set()
        assert cell.cell_type == "markdown" or (cell.outputs, cell.execution_count) == ([], None)


def test_the_badge_opens_this_file_of_this_repository() -> None:
    head = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"][0]["source"]
    place = NOTEBOOK.relative_to(ROOT).as_posix()
    assert f"(https://colab.research.google.com/github/dermforge/dermforge/blob/main/{place})" in "".join(head)


def test_it_installs_on_colab_only_and_imports_nothing_else_of_ours() -> None:
    install, *rest = code()
    assert install == (
        'import sys\n\nif "google.colab" in sys.modules:\n'
        "    %pip install --quiet git+https://github.com/dermforge/dermforge"
    )
    nodes = [node for text in rest for node in ast.walk(ast.parse(text))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert {name for name in names if name.partition(".")[0] in packages} == {"dermforge"}


@pytest.mark.slow
def test_it_runs_from_a_generator_to_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of its own runs every cell; the card has every skin type, with the truth of the test set."""
    pytest.importorskip("ipykernel", reason="ipykernel is a development dependency")
    client = pytest.importorskip("nbclient", reason="nbclient is a development dependency")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")  # this environment's kernel, not one of the user's
    book = nbformat.read(NOTEBOOK, as_version=4)
    ask = "import json; print(json.dumps([json.loads(card.to_json()), len(change.to_frame()), sys.executable]))"
    book.cells.append(nbformat.v4.new_code_cell(ask))
    client.NotebookClient(book, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    by_name = {cell.id: cell for cell in book.cells}
    assert "By group" in by_name["card"].outputs[-1].data["text/html"]
    assert "correlate with Spearman" in by_name["tone"].outputs[0].text
    card, changes, python = json.loads(book.cells[-1].outputs[0].text)
    assert (changes, python) == (7, sys.executable)  # a change for each skin type and for all
    rows = {row["group"]: row for row in card["rows"] if row["column"] == "group"}
    assert {name: row["n"] for name, row in rows.items()} == dict.fromkeys(TONES, 180)
    assert all(row["metrics"]["accuracy"]["low"] > 1 / 6 for row in rows.values()), "no better than chance"

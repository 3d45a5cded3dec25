"""Files that were cut, forged or made to mislead are refused before a weight is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from engines.adapters.files import read_adapter
from engines.checkpoint.safetensors_file import Entry, entries, open_safetensors, read_header
from engines.errors import EngineError

WHOLE = save({"a": torch.ones(2, 3), "../../b": torch.zeros(4, dtype=torch.bfloat16)}, {"format": "pt"})


def written(path: Path, header: bytes, data: bytes = b"", size: int | None = None) -> Path:
    path.write_bytes((len(header) if size is None else size).to_bytes(8, "little") + header + data)
    return path


def test_types_and_shapes_are_those_of_the_header(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(WHOLE)
    assert entries(tmp_path / "a.safetensors") == {"a": Entry("F32", (2, 3)), "../../b": Entry("BF16", (4,))}


@given(st.integers(0, len(WHOLE) - 1))
def test_a_cut_file_is_refused_wherever_it_was_cut(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.safetensors"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(EngineError, match="is not a whole safetensors file"):
        open_safetensors(path)


@pytest.mark.parametrize(("length", "said"), [(0, "it is empty, 0 bytes"), (5, "it has 5 bytes")])
def test_an_empty_file_is_said_to_be_empty(length: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(WHOLE[:length])
    for reads in (open_safetensors, read_adapter):
        with pytest.raises(EngineError, match=said):
            reads(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "header", [b"[]", b"null", b"{", b'{"a": 1}', b"\xff\xfe", b"[" * 100_000, b'{"a": {"dtype": "F32"}}']
)
def test_a_header_that_is_none_is_refused(header: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", header)
    for reads in (open_safetensors, read_adapter):
        with pytest.raises(EngineError, match="is not a whole safetensors file") as refused:
            reads(path)
        assert "\n" not in str(refused.value)


def test_a_header_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as stream:  # a hole: nothing is written
        stream.write((1 << 30).to_bytes(8, "little"))
        stream.truncate((1 << 30) + 8)
    for reads in (open_safetensors, read_adapter):
        with pytest.raises(EngineError, match="header would have 1074 MB"):
            reads(path)


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    """Also where they are the same, which safetensors takes for one."""
    entry = json.dumps({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})
    path = written(tmp_path / "a.safetensors", f'{{"lora_a": {entry}, "lora_a": {entry}}}'.encode(), b"\0" * 4)
    for reads in (open_safetensors, read_adapter):
        with pytest.raises(EngineError, match="two entries of the name 'lora_a'"):
            reads(path)


def test_the_words_of_a_header_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors", {"format": "pt"})
    assert read_header(tmp_path / "a.safetensors")["__metadata__"] == {"format": "pt"}

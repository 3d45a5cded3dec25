"""What is written is a safetensors file like any other, with a record and a digest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dermforge.common import tensor_files
from dermforge.common.errors import DataWarning


def test_safetensors_reads_what_is_written(tmp_path: Path) -> None:
    """Every kind of number, no dimensions and no elements; the digest comes behind the tensors."""
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8]
    values = {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in [*kinds, torch.int16, torch.int8]}
    values |= {"z": torch.tensor([True, False]), "none": torch.ones(0, 3), "one": torch.tensor(0.5)}
    values["turned"] = torch.arange(6.0).reshape(2, 3).T
    path = tmp_path / "a.safetensors"
    tensor_files.write(path, values, {"seed": 1})
    theirs, (record, ours) = load_file(path), tensor_files.read(path, "write it again")
    assert theirs.pop(tensor_files.DIGEST).numel() == 64
    assert record == {"seed": 1}
    for read in (theirs, ours):
        assert read.keys() == values.keys()
        for name, value in values.items():
            assert (read[name].dtype, read[name].shape) == (value.dtype, value.shape)
            assert torch.equal(read[name], value)


def test_the_tensors_are_those_that_were_checked(tmp_path: Path) -> None:
    """Another file that takes the name changes nothing, and neither does a change of the tensors change the file."""
    path = tmp_path / "a"
    tensor_files.write(path, {"x": torch.ones(1 << 20)}, {"seed": 1})
    content = path.read_bytes()
    _, tensors = tensor_files.read(path, "write it again")
    tensors["x"][:3] = 2
    assert path.read_bytes() == content
    tensor_files.write(path, {"x": torch.zeros(1 << 20)}, {"seed": 1})
    assert tensors["x"][:5].tolist() == [2, 2, 2, 1, 1]
    assert tensors["x"][-1] == 1


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tensor_files.write(tmp_path / name, {"x": torch.ones(3), "y": torch.zeros(2)}, {"b": 1, "a": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_cache_holds_what_it_was_made_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert tensor_files.cached(path, {"seed": 1}) is None
    tensor_files.write(path, {"x": torch.ones(3)}, {"seed": 1})
    stored = tensor_files.cached(path, {"seed": 1})
    assert stored is not None
    assert stored["x"].tolist() == [1, 1, 1]
    assert tensor_files.cached(path, {"seed": 2}) is None
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(DataWarning, match=r"a is damaged, .* it is computed again"):
        assert tensor_files.cached(path, {"seed": 1}) is None

"""What is written is a safetensors file like any other, with a record and a digest."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from dermforge.common import tensor_files


def test_safetensors_reads_what_is_written(tmp_path: Path) -> None:
    """Every kind of number, no dimensions and no elements; the digest comes behind the tensors."""
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8]
    values = {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in [*kinds, torch.int16, torch.int8]}
    values |= {"z": torch.tensor([True, False]), "none": torch.ones(0, 3), "one": torch.tensor(0.5)}
    values["turned"] = torch.arange(6.0).reshape(2, 3).T
    path = tmp_path / "a.safetensors"
    tensor_files.write(path, values, {"seed": 1})
    read = load_file(path)
    digest = read.pop(tensor_files.DIGEST)
    assert digest.numel() == 64
    assert read.keys() == values.keys() == tensor_files.load(path).keys()
    for name, value in values.items():
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name], value)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tensor_files.write(tmp_path / name, {"x": torch.ones(3), "y": torch.zeros(2)}, {"b": 1, "a": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_cache_holds_what_it_was_made_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert not tensor_files.holds(path, {"seed": 1})
    tensor_files.write(path, {"x": torch.ones(3)}, {"seed": 1})
    assert tensor_files.holds(path, {"seed": 1})
    assert not tensor_files.holds(path, {"seed": 2})

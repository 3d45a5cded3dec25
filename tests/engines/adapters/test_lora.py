"""What a person names is a file of an adapter and a scale, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from dermforge.common.errors import UserError
from engines.adapters import Lora, parse_lora
from engines.adapters.files import read_adapter


@given(st.floats(-4, 4).filter(lambda scale: abs(scale) > 1e-6))
def test_a_scale_is_read_as_it_was_written(scale: float) -> None:
    assert parse_lora(f"a/b.safetensors:{scale!r}") == Lora(Path("a/b.safetensors"), scale)


@pytest.mark.parametrize("scale", ["", "abc", "nan", "inf", "1_0", "0", "0,8", "1e999", "0.8x", " 1"])
def test_a_scale_that_is_no_number_is_refused(scale: str) -> None:
    with pytest.raises(UserError, match=r"expected FILE or FILE:SCALE, SCALE any number but 0"):
        parse_lora(f"a.safetensors:{scale}")


def test_a_file_whose_name_has_a_colon_is_itself(tmp_path: Path) -> None:
    (tmp_path / "a:2").touch()
    assert parse_lora(str(tmp_path / "a:2")) == Lora(tmp_path / "a:2")


def test_what_is_no_adapter_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"PK")
    (tmp_path / "a.safetensors").write_bytes(b"nothing of the kind")
    save_file({"a": torch.tensor([float("nan")])}, tmp_path / "nan.safetensors")
    save_file({"a": torch.ones(2, dtype=torch.int64)}, tmp_path / "int.safetensors")
    save_file({}, tmp_path / "empty.safetensors")
    for name, message in (
        ("a.pt", "pickle"),
        ("a.safetensors", "not a whole safetensors file"),
        ("nan.safetensors", "NaN"),
        ("int.safetensors", "expected float32"),
        ("empty.safetensors", "no weights"),
        ("none.safetensors", "no file"),
        ("", "is a folder; expected a .safetensors file, such as"),
    ):
        with pytest.raises(UserError, match=message):
            read_adapter(tmp_path / name)


@pytest.mark.parametrize("name", ["nope:0.5.safetensors", "a/b:c.safetensors", "a:b.PT", "c:/d.safetensors"])
def test_a_file_that_is_missing_is_a_file_and_no_scale(name: str) -> None:
    assert parse_lora(name) == Lora(Path(name))
    with pytest.raises(UserError, match=f"no file {name}"):
        read_adapter(parse_lora(name).path)

"""The torch backend's files: weights in one precision, and no engine file for a CPU without a compiler."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engines import build
from engines.backends.torch_eager import load_modules
from engines.compile.torch_build import copy_weights
from engines.errors import EngineError


def test_bf16_keeps_the_image_encoder_in_float32_in_memory_and_on_disk(model: Path, tmp_path: Path) -> None:
    """Images encoded in bf16 are more than 1 % off: no certificate allows that."""

    vae = load_modules(model, "bf16").vae
    kinds = {
        "encoder": torch.float32,
        "quant_conv": torch.float32,
        "decoder": torch.bfloat16,
        "post_quant_conv": torch.bfloat16,
    }
    assert {name: next(p.dtype for p in getattr(vae, name).parameters() if p.ndim > 1) for name in kinds} == kinds
    copy_weights(model, tmp_path, "bf16")
    (weights,) = (tmp_path / "vae").glob("*.safetensors")
    assert {name.split(".")[0]: value.dtype for name, value in load_file(weights).items()} == kinds


def test_a_target_is_refused_where_nothing_can_compile(model: Path, tmp_path: Path) -> None:
    from torch._inductor import config

    nothing = config.patch({"cpp.cxx": ("no-such-compiler",)})  # pytest's monkeypatch deletes the entry afterwards
    with nothing, pytest.raises(EngineError, match=r"need a C\+\+ compiler and none is here: install g\+\+"):
        build(model, tmp_path / "out", backend="torch", target="cpu")
    assert not (tmp_path / "out").exists()

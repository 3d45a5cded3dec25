"""The reference is exact: no TF32 in what is compared with 24 bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engines import Bundle
from engines.backends.torch_eager import Reference, load_modules


@pytest.fixture
def tf32() -> Iterator[None]:
    """As a program may leave it that ran before; torch's own default has it in convolutions."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def in_tf32() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_networks_are_opened_without_tf32(model: Path, precision: str) -> None:
    """In any precision: the VAE's encoder stays in float32."""
    load_modules(model, precision)
    assert in_tf32() == (False, False)


@pytest.mark.usefixtures("tf32")
def test_the_reference_computes_without_tf32(model: Path, bundle: Bundle) -> None:
    reference = Reference(model, bundle, torch.device("cpu"))
    reference.encode_text(["a"])
    assert in_tf32() == (False, False)

"""A graph computes what its network does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from engines.compile.onnx_graph import write_graph
from engines.errors import EngineError


@pytest.mark.parametrize("join", [torch.cat, torch.concat, torch.concatenate])
def test_what_is_joined_of_two_precisions_becomes_one(join: Callable[..., torch.Tensor], tmp_path: Path) -> None:
    """As SDXL joins a pooled text in half precision with sizes in float32; TensorRT and ONNX refuse a mixture."""

    class Joined(torch.nn.Module):
        def forward(self, half: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
            return join([half.half(), whole], -1).float()

    args = (torch.rand(2, 3), torch.rand(2, 3))
    write_graph(Joined(), args, ["half", "whole"], ["joined"], tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    found = session.run(None, {"half": args[0].numpy(), "whole": args[1].numpy()})[0]
    assert np.array_equal(found, join([args[0].half(), args[1]], -1).numpy())


def test_a_graph_of_one_number_of_rows_is_refused(tmp_path: Path) -> None:
    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:1] + torch.zeros(2, 3)

    with pytest.raises(EngineError, match="Fixed for one number of rows only"):
        write_graph(Fixed(), (torch.rand(2, 3),), ["x"], ["y"], tmp_path / "model.onnx")

"""A network that is built and does not run is refused before any weight is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engines.errors import EngineError
from engines.pipeline_spec import read_spec


@pytest.mark.parametrize(
    ("file", "values", "word"),
    [
        ("unet/config.json", {"norm_eps": "1e-5"}, "UNet2DConditionModel that does not run .*without quotes"),
        ("unet/config.json", {"freq_shift": "0"}, "UNet2DConditionModel that does not run"),
        ("unet/config.json", {"mid_block_scale_factor": "1"}, "UNet2DConditionModel that does not run"),
        ("unet/config.json", {"sample_size": 10**9}, "UNet2DConditionModel that does not run"),
        (
            "text_encoder/config.json",
            {"layer_norm_eps": "1e-5"},
            "CLIPTextModel that does not run|describes no CLIPTextModel",
        ),
    ],
)
def test_a_setting_that_fails_in_use_is_refused_in_one_line(
    folder: Path, edit: Callable[..., None], file: str, values: dict[str, object], word: str
) -> None:
    edit(file, **values)
    with pytest.raises(EngineError, match=word) as caught:
        read_spec(folder)
    assert "\n" not in str(caught.value)
    assert str(folder / file) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"conv_in_kernel": 4}, "does not run"),
        ({"conv_out_kernel": 4}, r"gives \[1, 4, 7, 7\]; expected \[1, 4, 8, 8\]"),
        ({"dual_cross_attention": True, "attention_head_dim": 8}, "does not run"),
    ],
)
def test_blocks_that_do_not_fit_each_other_are_refused(
    make_model: Callable[..., Path], options: dict[str, object], word: str
) -> None:
    with pytest.raises(EngineError, match=word):
        read_spec(make_model(**options))


def test_only_an_operation_without_shapes_is_let_through(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch has no shapes for a count of values, nor the answer whether one is zero, as transformers 5 asks of a mask.

    A network that says itself that it lacks something is refused.
    """
    import torch
    from diffusers import UNet2DConditionModel

    def counts(*_: object, **__: object) -> None:
        torch.bincount(torch.zeros(3, dtype=torch.int64))

    def asks(*_: object, **__: object) -> None:
        if (torch.zeros(3) == 0).all():
            torch.zeros(3).sum().item()

    def lacks(*_: object, **__: object) -> None:
        raise NotImplementedError("this block of MetaFormer")

    for forward in (counts, asks):
        monkeypatch.setattr(UNet2DConditionModel, "forward", forward)
        read_spec(folder)
    monkeypatch.setattr(UNet2DConditionModel, "forward", lacks)
    with pytest.raises(EngineError, match=r"does not run .*this block"):
        read_spec(folder)

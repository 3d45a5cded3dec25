"""Adapters and words of the families beside Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapters_helpers import ATTENTION, image, kohya_sdxl_file, layers, psnr
from diffusers import DiffusionPipeline
from family_pipelines import PIPELINES
from safetensors.torch import save_file

from engines.adapters import Lora, with_adapters
from engines.errors import EngineError
from engines.pipeline_spec import read_spec


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PIPELINES["sdxl"](tmp_path_factory.mktemp("xl"))


def opened(folder: Path) -> Any:
    return DiffusionPipeline.from_pretrained(folder)


def test_sdxl_in_the_names_of_kohya(xl: Path, tmp_path: Path) -> None:
    path, expected = kohya_sdxl_file(opened(xl), tmp_path / "a.safetensors", 1), opened(xl)
    expected.load_lora_weights(str(tmp_path), weight_name=path.name, adapter_name="a")
    expected.set_adapters(["a"], [0.7])
    with with_adapters(xl, [Lora(path, 0.7)], []) as folder:
        read_spec(folder)
        got = image(opened(folder))
    assert psnr(got, image(expected)) >= max(50, 20 + psnr(got, image(opened(xl))))


def test_sdxl_words_for_both_text_encoders(xl: Path, tmp_path: Path) -> None:
    first, second = torch.randn(2, 2, 32, generator=torch.Generator().manual_seed(1))
    save_file({"clip_l": first, "clip_g": second}, tmp_path / "<nevus>.safetensors")
    expected = opened(xl)
    expected.load_textual_inversion({"<nevus>": first})
    pair = {"tokenizer": expected.tokenizer_2, "text_encoder": expected.text_encoder_2}
    expected.load_textual_inversion({"<nevus>": second}, **pair)
    with with_adapters(xl, [], [tmp_path / "<nevus>.safetensors"]) as folder:
        read_spec(folder)
        got = image(opened(folder), "a <nevus>")
    assert psnr(got, image(expected, "a <nevus>")) >= 50
    save_file({"<nevus>": first}, tmp_path / "one.safetensors")
    with pytest.raises(EngineError, match="clip_l and clip_g"), with_adapters(xl, [], [tmp_path / "one.safetensors"]):
        pass


@pytest.mark.parametrize("family", ["sd3", "flux-dev"])
def test_transformers_in_the_names_of_diffusers(family: str, tmp_path: Path) -> None:
    base = PIPELINES[family](tmp_path)
    pipeline, expected = opened(base), opened(base)
    weights, config = layers(pipeline.transformer, ATTENTION, 1, lora_alpha=8)
    type(pipeline).save_lora_weights(
        tmp_path / "made", transformer_lora_layers=weights, transformer_lora_adapter_metadata=config.to_dict()
    )
    path = next((tmp_path / "made").glob("*.safetensors"))
    expected.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name="a")
    with with_adapters(base, [Lora(path)], []) as folder:
        read_spec(folder)
        got = image(opened(folder))
    assert psnr(got, image(expected)) >= max(50, 20 + psnr(got, image(opened(base))))


def test_flux_in_the_names_of_diffusers_with_an_alpha_for_each_module(tmp_path: Path) -> None:
    """As some trainers write it; diffusers reads alphas beside its own names for FLUX alone."""
    base = PIPELINES["flux-dev"](tmp_path)
    expected = opened(base)
    weights, _ = layers(opened(base).transformer, ATTENTION, 1)
    named = {f"transformer.{name}": value for name, value in weights.items()}
    alphas = {name.replace("lora_A.weight", "alpha"): torch.tensor(2.0) for name in named if "lora_A" in name}
    path = tmp_path / "a.safetensors"
    save_file(named | alphas, path)
    expected.load_lora_weights(str(tmp_path), weight_name=path.name, adapter_name="a")
    with with_adapters(base, [Lora(path)], []) as folder:
        got = image(opened(folder))
    assert psnr(got, image(expected)) >= max(50, 20 + psnr(got, image(opened(base))))


def test_another_architecture_is_named(xl: Path, tmp_path: Path) -> None:
    save_file({"transformer.x.lora_A.weight": torch.ones(4, 8)}, tmp_path / "a.safetensors")
    with pytest.raises(EngineError, match="changes a transformer; this pipeline has"):  # noqa: SIM117
        with with_adapters(xl, [Lora(tmp_path / "a.safetensors")], []):
            pass

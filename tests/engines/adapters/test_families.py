"""Adapters and words of the families beside Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters_helpers import ATTENTION, image, kohya_sdxl_file, layers, psnr, taken_by_transformers
from diffusers import DiffusionPipeline
from family_pipelines import PIPELINES
from safetensors.torch import load_file, save_file
from single_files import checkpoint, own_weights, part_tensors

from engines.adapters import Lora, with_adapters
from engines.checkpoint.skeleton import read_family
from engines.errors import EngineError
from engines.pipeline_spec import read_spec
from engines.source import Source, open_model


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
    save_file({"clip_l": first, "clip_g": second[:1]}, tmp_path / "odd.safetensors")
    said = r"different numbers of vectors .*2 for text_encoder, 1 for text_encoder_2.*copy it again"
    with pytest.raises(EngineError, match=said), with_adapters(xl, [], [tmp_path / "odd.safetensors"]):
        pass
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


def kohya_transformer_file(base: Path, path: Path, seed: int) -> dict[str, torch.Tensor]:
    """As sd-scripts saves one (networks/lora_flux.py, lora_sd3.py): each matrix of the model's own code, and CLIP.

    Returns what it adds to each tensor of the model's file.
    """
    noise = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    added: dict[str, torch.Tensor] = {}
    layout = read_family(base).layouts["transformer"][0]
    whole = {
        n: v for n, v in part_tensors(base, "transformer", layout).items() if n.endswith(".weight") and v.ndim == 2
    }
    clip = {n: v for n, v in own_weights(base, "text_encoder").items() if re.search(r"(_proj|fc\d)\.weight$", n)}
    modules = {name: ("lora_unet_" + name.removeprefix(layout.prefix), v) for name, v in whole.items()}
    modules |= {f"text:{n}": ("lora_te1_" + n, v) for n, v in clip.items() if "text_projection" not in n}
    for name, (key, value) in modules.items():
        module = key.removesuffix(".weight").replace(".", "_")
        down, up = (torch.randn(*shape, generator=noise) * 0.2 for shape in ((4, value.shape[1]), (len(value), 4)))
        tensors |= {f"{module}.lora_down.weight": down.half(), f"{module}.lora_up.weight": up.half()}
        tensors[f"{module}.alpha"] = torch.tensor(2.0).half()
        added[name] = 0.5 * (up.half().float() @ down.half().float())
    save_file(tensors, path)
    return added


@pytest.mark.skipif(not taken_by_transformers(), reason="transformers takes no adapters of this version of peft")
@pytest.mark.parametrize("family", ["sd3", "flux-dev"])
def test_transformers_in_the_names_of_kohya(family: str, tmp_path: Path) -> None:
    """What the trainer's matrices add to the model's own file is what is fused into its folder."""
    base = PIPELINES[family](tmp_path)
    added = kohya_transformer_file(base, tmp_path / "a.safetensors", 1)
    one = load_file(checkpoint(base, tmp_path / "model.safetensors"))
    for name, value in added.items():
        if not name.startswith("text:"):
            one[name] = one[name] + 0.7 * value
    save_file(one, tmp_path / "model.safetensors")
    with open_model(Source(tmp_path / "model.safetensors", parts_from=base)) as folder:
        expected = own_weights(folder, "transformer")
    text = own_weights(base, "text_encoder")
    text |= {n[5:]: text[n[5:]] + 0.7 * v for n, v in added.items() if n.startswith("text:")}
    with with_adapters(base, [Lora(tmp_path / "a.safetensors", 0.7)], []) as folder:
        read_spec(folder)
        torch.testing.assert_close(own_weights(folder, "transformer"), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(own_weights(folder, "text_encoder"), text, rtol=1e-4, atol=1e-5)


def test_flux_in_the_names_of_kohya_equals_diffusers(tmp_path: Path) -> None:
    """But for the layers that diffusers splits by the width of FLUX.1 itself."""
    base = PIPELINES["flux-dev"](tmp_path)
    kohya_transformer_file(base, tmp_path / "a.safetensors", 1)
    found = load_file(tmp_path / "a.safetensors")
    known = re.compile(r"lora_unet_(double_blocks|single_blocks_\d_(linear2|modulation))|lora_te1")
    save_file({name: value for name, value in found.items() if known.match(name)}, tmp_path / "b.safetensors")
    expected = opened(base)
    expected.load_lora_weights(str(tmp_path), weight_name="b.safetensors", adapter_name="a")
    with with_adapters(base, [Lora(tmp_path / "b.safetensors")], []) as folder:
        got = image(opened(folder))
    assert psnr(got, image(expected)) >= max(50, 20 + psnr(got, image(opened(base))))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lora_unet_nowhere.lora_down.weight": (4, 8), "lora_unet_nowhere.lora_up.weight": (8, 4)}, "in none of"),
        ({"lora_te3_encoder_x.lora_down.weight": (4, 8)}, "lora_te3_encoder_x"),
        ({"lora_unet_img_in.lora_down.weight": (4, 9), "lora_unet_img_in.lora_up.weight": (32, 4)}, r"\[32, 9\]"),
        ({"lora_unet_img_in.lora_down.weight": (4, 64), "lora_unet_img_in.lora_up.weight": (32, 3)}, "img_in"),
        ({"lora_unet_img_in.lora_down.weight": (4, 64)}, "no lora_unet_img_in.lora_up.weight"),
        ({"lora_unet_img_in.lora_odd.weight": (4, 64)}, "lora_unet_img_in"),
        ({"lora_unet_img_in.hada_w1_a": (4, 64)}, "LoHa"),
        ({"lora_unet_img_in.dora_scale": (32, 1)}, "DoRA"),
    ],
)
def test_what_is_not_used_whole_is_refused(flux: Path, changed: dict, message: str, tmp_path: Path) -> None:
    save_file({name: torch.ones(shape) for name, shape in changed.items()} | {
        "lora_unet_txt_in.lora_down.weight": torch.ones(4, 32), "lora_unet_txt_in.lora_up.weight": torch.ones(32, 4),
    }, tmp_path / "a.safetensors")  # fmt: skip
    with pytest.raises(EngineError, match=message), with_adapters(flux, [Lora(tmp_path / "a.safetensors")], []):
        pass


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PIPELINES["flux-dev"](tmp_path_factory.mktemp("flux"))


def test_a_family_of_which_diffusers_loads_no_adapters_is_refused(tmp_path: Path) -> None:
    base = PIPELINES["pixart"](tmp_path)
    save_file({"transformer.x.lora_A.weight": torch.ones(4, 8)}, tmp_path / "a.safetensors")
    with pytest.raises(EngineError, match="diffusers loads no adapters of PixArt-alpha"):  # noqa: SIM117
        with with_adapters(base, [Lora(tmp_path / "a.safetensors")], []):
            pass

"""Adapters as peft, diffusers and kohya's trainer write them, with random weights that change an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import PreTrainedModel
from transformers.integrations.peft import MIN_PEFT_VERSION
from transformers.utils import check_peft_version

from gen.distill.student import MODULES

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def layers(
    network: Any, targets: Sequence[str], seed: int, **options: Any
) -> tuple[dict[str, torch.Tensor], LoraConfig]:
    """An adapter's weights by peft's names, and its settings; the network is left without it."""
    torch.manual_seed(seed)
    config = LoraConfig(r=4, target_modules=list(targets), init_lora_weights=False, **{"lora_alpha": 4} | options)
    if isinstance(network, PreTrainedModel) and not taken_by_transformers():
        pytest.skip("this version of transformers takes no adapters of this version of peft")
    network.add_adapter(config, adapter_name="made")
    found = {name: value.clone() for name, value in get_peft_model_state_dict(network, adapter_name="made").items()}
    if hasattr(network, "unload_lora"):
        network.unload_lora()
    else:
        network.delete_adapter("made")
    return {name: value * (1 if "magnitude" in name else 0.5) for name, value in found.items()}, config


def taken_by_transformers() -> bool:
    """Transformers 5.24 asks for a version of peft that came after it."""
    try:
        check_peft_version(MIN_PEFT_VERSION)
    except ValueError:
        return False
    return True


def diffusers_file(pipeline: Any, folder: Path, seed: int, text: bool = True, **options: Any) -> Path:
    """As diffusers' training scripts save one."""
    unet, config = layers(pipeline.unet, [*ATTENTION, "conv1", "time_emb_proj"], seed, **options)
    words, theirs = layers(pipeline.text_encoder, TEXT, seed + 1, **options) if text else ({}, config)
    type(pipeline).save_lora_weights(
        folder,
        unet_lora_layers=unet,
        text_encoder_lora_layers=words or None,
        unet_lora_adapter_metadata=config.to_dict(),
        text_encoder_lora_adapter_metadata=theirs.to_dict() if text else None,
    )
    return folder / "pytorch_lora_weights.safetensors"


def kohya_names(prefix: str, found: dict[str, torch.Tensor], alpha: float | None) -> dict[str, torch.Tensor]:
    """Names as sd-scripts makes them: the module's path with underscores, and an alpha for each module."""
    named: dict[str, torch.Tensor] = {}
    for name, value in found.items():
        module, _, which = name.removesuffix(".weight").rpartition(".")
        key = prefix + module.replace(".", "_")
        named[f"{key}.{'lora_down' if which == 'lora_A' else 'lora_up'}.weight"] = value.half()
        if alpha is not None:
            named[f"{key}.alpha"] = torch.tensor(alpha, dtype=torch.float16)
    return named


def kohya_file(pipeline: Any, path: Path, seed: int, alpha: float | None = 2.0) -> Path:
    """As sd-scripts saves one of Stable Diffusion 1.x: UNet and text encoder, in half precision."""
    unet, _ = layers(pipeline.unet, [*ATTENTION, "proj_in", "ff.net.0.proj"], seed)
    words, _ = layers(pipeline.text_encoder, TEXT, seed + 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(kohya_names("lora_unet_", unet, alpha) | kohya_names("lora_te_", words, alpha), path)
    return path


def lcm_lora(model: Path, path: Path) -> Path:
    """Kohya's names, half precision, an alpha for each module, convolutions among them: as lcm-lora-sdv1-5 has it."""
    unet = StableDiffusionPipeline.from_pretrained(model).unet
    found, _ = layers(unet, MODULES, 3)
    save_file(kohya_names("lora_unet_", found, 4.0), path)
    return path


def image(pipeline: Any, prompt: str = "a plaque") -> np.ndarray:
    """One image in [0, 1], float32 [H, W, 3], from noise that is always the same."""
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(5)
    drawn = pipeline(
        prompt, num_inference_steps=2, guidance_scale=3.0, generator=generator, height=64, width=64, output_type="np"
    )
    return np.asarray(drawn.images[0])


def psnr(got: np.ndarray, expected: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1]."""
    error = float(np.mean((got.astype(np.float64) - expected) ** 2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def sgm_name(module: str, layers_per_block: int) -> str:
    """The name that sd-scripts has for a module of SDXL's UNet: that of Stability's own code, of three attributes."""
    kinds = {"resnets": 0, "attentions": 1}
    parts = module.split(".")
    if parts[0] == "mid_block":
        place = f"middle_block.{1 if parts[1] == 'attentions' else 2 * int(parts[2])}"
        return ".".join([place, *parts[3:]])
    block, kind, layer = int(parts[1]), parts[2], int(parts[3])
    first = 1 + block * (layers_per_block + 1) if parts[0] == "down_blocks" else block * (layers_per_block + 1)
    side = "input_blocks" if parts[0] == "down_blocks" else "output_blocks"
    return ".".join([f"{side}.{first + layer}.{kinds[kind]}", *parts[4:]])


def kohya_sdxl_file(pipeline: Any, path: Path, seed: int) -> Path:
    """As sd-scripts saves one of SDXL: Stability's names of the UNet's blocks, and two text encoders."""
    unet, _ = layers(pipeline.unet, ATTENTION, seed)
    named = {}
    for name, value in unet.items():
        module, _, rest = name.partition(".lora_")
        named[f"{sgm_name(module, pipeline.unet.config.layers_per_block)}.lora_{rest}"] = value
    found = kohya_names("lora_unet_", named, 2.0)
    for number, encoder in ((1, pipeline.text_encoder), (2, pipeline.text_encoder_2)):
        found |= kohya_names(f"lora_te{number}_", layers(encoder, TEXT, seed + number)[0], 2.0)
    save_file(found, path)
    return path

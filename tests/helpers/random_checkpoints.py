"""Small Stable Diffusion folders with settings drawn at random, as diffusers would write and read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPTokenizerFast

from engines.checkpoint.folder import weights_name
from engines.checkpoint.scheduler_classes import FOREIGN, OWN
from gen.builtin.model import new_tokenizer

STRANGE_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler")
WORD = ("<derm>", "<derm>_1", "<derm>_2")


class Draw:
    """Draws from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def seldom(self, share: float = 0.05) -> bool:
        return bool(self.rng.random() < share)

    def some(self, **choices: tuple[Any, ...]) -> dict[str, Any]:
        """A value for about half of the keys; the others are left to diffusers."""
        return {key: self(*values) for key, values in choices.items() if self.seldom(0.5)}


def write_checkpoint(folder: Path, seed: int) -> dict[str, Any]:
    """Write a pipeline folder; what was drawn."""
    draw = Draw(seed)
    torch.manual_seed(seed)
    hidden, length = draw(16, 32), draw(16, 20, 77)
    inpaint = draw.seldom(0.15)
    latent = 4 if inpaint else draw(4, 4, 4, 3, 8)
    unet = unet_settings(draw, hidden, latent, inpaint)
    vae = vae_settings(draw, latent)
    scheduler = scheduler_settings(draw)
    drawn = {"unet": unet, "vae": vae, "scheduler": scheduler, "inpaint": inpaint}
    network = UNet2DConditionModel(**unet)
    decoder = AutoencoderKL(**vae)
    with torch.no_grad():  # untrained weights predict little and draw a flat grey
        network.conv_out.weight.mul_(3)
        decoder.decoder.conv_out.weight.mul_(8)
    network.save_pretrained(folder / "unet", **draw({}, {}, {}, {"max_shard_size": "100KB"}, {"variant": "fp16"}))
    decoder.save_pretrained(folder / "vae")
    drawn["tokenizer"] = write_text(draw, folder, hidden, length)
    drawn["wrapper"] = rename_weights(draw, folder)
    (folder / "scheduler").mkdir()
    name = scheduler.pop("class")
    drawn["class"] = name
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    write_index(draw, folder, name, inpaint)
    return drawn


def unet_settings(draw: Draw, hidden: int, latent: int, inpaint: bool) -> dict[str, Any]:
    """A UNet of one to three levels; one in ten asks for what is not followed."""
    levels = draw(1, 2, 2, 3)
    down = [draw("DownBlock2D", "CrossAttnDownBlock2D") for _ in range(levels)]
    up = {"DownBlock2D": "UpBlock2D", "CrossAttnDownBlock2D": "CrossAttnUpBlock2D"}
    widths = [draw(16, 32) for _ in range(levels)]
    settings: dict[str, Any] = {
        "sample_size": draw(8, 8, 8, [8, 8], 16),
        "in_channels": 2 * latent + 1 if inpaint else latent,
        "out_channels": latent,
        "block_out_channels": widths,
        "down_block_types": down,
        "up_block_types": [up[kind] for kind in reversed(down)],
        "layers_per_block": draw(1, 1, 2),
        "cross_attention_dim": draw(hidden, hidden, [hidden] * levels),
        "attention_head_dim": draw(4, 8, [4] * levels),
        "norm_num_groups": draw(4, 8),
    }
    settings |= draw.some(
        mid_block_type=("UNetMidBlock2DCrossAttn", "UNetMidBlock2D"),
        center_input_sample=(True, False),
        flip_sin_to_cos=(True, False),
        freq_shift=(0, 1),
        act_fn=("silu", "gelu"),
        use_linear_projection=(True, False),
        upcast_attention=(True, False),
        transformer_layers_per_block=(1, 2),
        resnet_time_scale_shift=("default", "scale_shift"),
        norm_eps=(1e-5, 1e-6),
        mid_block_scale_factor=(1, 1.5),
        conv_out_kernel=(3, 5),
        timestep_post_act=(None, "silu"),
        dropout=(0.0, 0.1),
    )
    if draw.seldom(0.2):
        settings |= {"addition_embed_type": "text", "addition_embed_type_num_heads": 4, "cross_attention_dim": hidden}
    if draw.seldom(0.1):
        settings |= draw(
            {"time_cond_proj_dim": 8},
            {"class_embed_type": "timestep"},
            {"num_class_embeds": 3},
            {"out_channels": 2 * latent},
            {"in_channels": 2 * latent},
            {"attention_type": "gated"},
            {"sample_size": None},
            {"sample_size": [8, 16]},
        )
    return settings


def vae_settings(draw: Draw, latent: int) -> dict[str, Any]:
    """A VAE of one to four levels."""
    levels = draw(1, 2, 2, 3, 4)
    return {
        "block_out_channels": [draw(8, 16) for _ in range(levels)],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": 1,
        "latent_channels": latent,
        "norm_num_groups": 4,
        **draw.some(
            scaling_factor=(0.18215, 0.13025, 1.0),
            mid_block_add_attention=(True, False),
            force_upcast=(True, False),
            act_fn=("silu", "gelu"),
            shift_factor=(*[None] * 6, 0, 0.1),
        ),
    } | ({"use_quant_conv": False, "use_post_quant_conv": False} if draw.seldom(0.3) else {})


def scheduler_settings(draw: Draw) -> dict[str, Any]:
    """A class and some of its settings, with what is left over of other classes."""
    name = draw(*OWN, *OWN, *OWN, *FOREIGN, *(STRANGE_SCHEDULERS if draw.seldom(0.2) else ()))
    total = draw(1000, 1000, 1000, 500)
    settings = {"class": name, "_class_name": name}
    if draw.seldom(0.8):
        settings |= {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    settings |= draw.some(
        num_train_timesteps=(total,),
        timestep_spacing=("leading", "trailing", "linspace"),
        prediction_type=("epsilon", "v_prediction", "v_prediction", "sample"),
        steps_offset=(0, 1),
        clip_sample=(True, False),
        set_alpha_to_one=(True, False),
        use_karras_sigmas=(True, False),
        rescale_betas_zero_snr=(True, *[False] * 5),
        skip_prk_steps=(True, True, False),
    )
    if draw.seldom(0.1):
        settings["trained_betas"] = np.linspace(0.0001, 0.02, total).tolist()
    if draw.seldom(0.1):
        settings |= draw(
            {"thresholding": True},
            {"beta_schedule": "squaredcos_cap_v2"},
            {"use_beta_sigmas": True},
            {"use_exponential_sigmas": True},
            {"solver_order": 3},
            {"algorithm_type": "sde-dpmsolver++"},
            {"solver_type": "heun"},
            {"final_sigmas_type": "sigma_min"},
            {"lower_order_final": False},
            {"euler_at_final": True},
            {"predict_x0": False},
            {"timestep_scaling": 5.0},
            {"original_inference_steps": 25},
            {"invented": 3},
        )
    return settings


def write_text(draw: Draw, folder: Path, hidden: int, length: int) -> str:
    """The text encoder and its tokenizer: slow, fast alone, or with a learnt word of three vectors."""
    kind = str(draw("slow", "slow", "fast", "words"))
    tokenizer = new_tokenizer()
    tokenizer.save_pretrained(folder / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", model_max_length=length)
    if kind == "words":
        tokenizer.add_tokens(list(WORD))
    tokenizer.save_pretrained(folder / "tokenizer")
    if kind == "fast":
        fast = CLIPTokenizerFast.from_pretrained(folder / "tokenizer")
        shutil.rmtree(folder / "tokenizer")
        fast.save_pretrained(folder / "tokenizer")
        for name in ("vocab.json", "merges.txt"):
            (folder / "tokenizer" / name).unlink(missing_ok=True)
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer) - draw.seldom() * (kind == "words"),
            hidden_size=hidden,
            intermediate_size=draw(32, 48),
            num_hidden_layers=draw(1, 2),
            num_attention_heads=draw(2, 4),
            hidden_act=draw("quick_gelu", "gelu"),
            max_position_embeddings=length,
            eos_token_id=draw(2, tokenizer.eos_token_id),
        )
    ).save_pretrained(folder / "text_encoder")
    return kind


def rename_weights(draw: Draw, folder: Path) -> str | None:
    """Names as a wrapper leaves them, or weights that are missing."""
    if not draw.seldom(0.2):
        return None
    part, wrapper = str(draw("unet", "vae", "text_encoder")), str(draw("_orig_mod.", "module.", "missing", "nan"))
    path = folder / part / f"{weights_name(part)}.safetensors"
    if not path.is_file():
        return None
    weights = load_file(path)
    if wrapper == "missing":
        weights.pop(sorted(weights)[0])
    elif wrapper == "nan":
        weights[sorted(weights)[-1]].fill_(float("nan"))
    else:
        weights = {wrapper + name: value for name, value in weights.items()}
    save_file(weights, path, metadata={"format": "pt"})
    return f"{part}: {wrapper}"


def write_index(draw: Draw, folder: Path, scheduler: str, inpaint: bool) -> None:
    """`model_index.json`."""
    kinds = ["StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"]
    index = {
        "_class_name": kinds[2] if inpaint else draw(kinds[0], kinds[0], kinds[1]),
        "_diffusers_version": "0.37.1",
        "scheduler": ["diffusers", scheduler],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index))

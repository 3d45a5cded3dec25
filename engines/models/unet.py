"""What the families with a UNet share: its settings, its names in single files, and how it fits the other parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engines.checkpoint.settings import known
from engines.errors import EngineError
from engines.single_file import names_ldm
from engines.single_file.layouts import DENOISER, Layout

UNET = known(
    used="sample_size in_channels out_channels center_input_sample flip_sin_to_cos freq_shift down_block_types "
    "mid_block_type up_block_types only_cross_attention block_out_channels layers_per_block downsample_padding "
    "mid_block_scale_factor act_fn norm_num_groups norm_eps cross_attention_dim transformer_layers_per_block "
    "reverse_transformer_layers_per_block attention_head_dim num_attention_heads dual_cross_attention "
    "use_linear_projection upcast_attention resnet_time_scale_shift resnet_skip_time_act resnet_out_scale_factor "
    "time_embedding_type time_embedding_dim time_embedding_act_fn timestep_post_act conv_in_kernel conv_out_kernel "
    "mid_block_only_cross_attention cross_attention_norm addition_embed_type_num_heads time_cond_proj_dim",
    without_influence="dropout addition_time_embed_dim",
    only={  # others need an input that is not text, noise or a mask
        "class_embed_type": (None,),
        "num_class_embeds": (None,),
        "class_embeddings_concat": (False,),
        "addition_embed_type": (None, "text"),
        "projection_class_embeddings_input_dim": (None,),
        "encoder_hid_dim": (None,),
        "encoder_hid_dim_type": (None,),
        "attention_type": ("default",),
    },
)
UNET_LAYOUTS = (Layout(DENOISER, names_ldm.unet),)


def check_channels(folder: Path, unet: Any, vae: Any) -> None:
    """Refuse a UNet that takes or gives other channels than text to image or inpainting does."""
    latent, takes, gives = vae.latent_channels, unet.in_channels, unet.out_channels
    allowed = {latent: "text to image", 2 * latent + 1: "inpainting"}
    if gives != latent and takes in (gives, 2 * gives + 1):
        raise EngineError(
            f"{folder}: the UNet is of latents of {gives} channels and those of the VAE have {latent}; the parts are "
            "of different models"
        )
    if takes not in allowed:
        expected = " or ".join(f"{n} ({what})" for n, what in allowed.items())
        raise EngineError(f"{folder / 'unet'} takes {takes} channels; expected {expected}")
    if takes != latent and latent != 4:
        raise EngineError(f"{folder / 'vae'} has {latent} latent channels; diffusers inpaints with 4 only")
    if gives != latent:
        raise EngineError(
            f"{folder / 'unet'} gives {gives} channels; expected {latent}, as the VAE has: a learnt variance is not "
            "supported"
        )


def check_width(folder: Path, unet: Any, width: int, given: str) -> None:
    """Refuse a UNet that attends to text of another width."""
    widths = unet.cross_attention_dim
    if {width} != set(widths if isinstance(widths, list | tuple) else [widths]):
        raise EngineError(
            f"{folder}: the UNet expects text of {widths} dimensions and {given} {width}; the parts are of different "
            "models"
        )

"""The VAEs that families share, with and without a shift of their latents, and their names in single files."""

from __future__ import annotations

from engines.checkpoint.settings import Known, known
from engines.models.family import Part
from engines.single_file import names_ldm
from engines.single_file.layouts import Layout

SETTINGS = known(
    used="down_block_types up_block_types block_out_channels layers_per_block act_fn latent_channels norm_num_groups "
    "scaling_factor use_quant_conv use_post_quant_conv mid_block_add_attention",
    without_influence="sample_size force_upcast",
    only={  # diffusers' Stable Diffusion pipelines do not apply the last three
        "in_channels": (3,),
        "out_channels": (3,),
        "shift_factor": (None, 0),
        "latents_mean": (None,),
        "latents_std": (None,),
    },
)
#: Of the pipelines that subtract the shift before they scale.
SHIFTED_SETTINGS = Known(
    SETTINGS.used | {"shift_factor"},
    SETTINGS.without_influence,
    {key: values for key, values in SETTINGS.only.items() if key != "shift_factor"},
)
VAE = Part("diffusers", "AutoencoderKL", SETTINGS)
SHIFTED_VAE = Part("diffusers", "AutoencoderKL", SHIFTED_SETTINGS)
VAE_LAYOUTS = (Layout("first_stage_model.", names_ldm.vae), Layout("vae.", names_ldm.vae))

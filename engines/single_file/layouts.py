"""Which names stand for which part of a pipeline in the single files of each family."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engines.single_file import names_ldm, names_text, names_transformers
from engines.single_file.piece import Piece

UNET, EMA = "model.diffusion_model.", "model_ema.diffusion_model"
#: What is in checkpoints beside the weights that draw an image: counters, the buffers of the schedule, losses.
WITHOUT_INFLUENCE = (
    r"(.*\.)?position_ids",
    r"(.*\.)?logit_scale",
    r"cond_stage_model\.model\.(text_projection|attn_mask)",
    r"conditioner\.embedders\.1\.model\.attn_mask",
    r"text_encoders\.t5xxl\.transformer\.encoder\.embed_tokens\.weight",  # the same as shared.weight
    r"text_encoders\.clip_l\.transformer\.text_projection\.weight",  # of FLUX, which takes what is before it
    r"first_stage_model\.loss\..*",
    r"(sqrt_)?(one_minus_)?alphas_cumprod(_prev)?",
    r"sqrt_recip(m1)?_alphas_cumprod|log_one_minus_alphas_cumprod",
    r"betas|posterior_(variance|log_variance_clipped|mean_coef[12])|lvlb_weights|logvar|scale_factor|denoiser\.sigmas",
    r"model_ema\.(decay|num_updates)|global_step|epoch",
)


@dataclass(frozen=True)
class Layout:
    """What stands in front of the names of a part's weights, and how those are called behind it."""

    prefix: str
    piece: Callable[[str, Mapping[str, Any]], Piece | None]


CLIP_L, CLIP_G, T5 = (f"text_encoders.{name}.transformer." for name in ("clip_l", "clip_g", "t5xxl"))
LDM_VAE = (Layout("first_stage_model.", names_ldm.vae), Layout("vae.", names_ldm.vae))
#: By family and part; of several layouts the one of which a file has names is taken.
LAYOUTS: Mapping[str, Mapping[str, tuple[Layout, ...]]] = {
    "sd": {
        "unet": (Layout(UNET, names_ldm.unet),),
        "vae": LDM_VAE,
        "text_encoder": (
            Layout("cond_stage_model.transformer.", names_text.transformers),
            Layout("cond_stage_model.transformer.", names_text.early_transformers),
            Layout("cond_stage_model.model.", names_text.open_clip),
        ),
    },
    "sdxl": {
        "unet": (Layout(UNET, names_ldm.unet),),
        "vae": LDM_VAE,
        "text_encoder": (Layout("conditioner.embedders.0.transformer.", names_text.transformers),),
        "text_encoder_2": (Layout("conditioner.embedders.1.model.", names_text.open_clip),),
    },
    "sd3": {
        "transformer": (Layout(UNET, names_transformers.sd3), Layout("", names_transformers.sd3)),
        "vae": LDM_VAE,
        "text_encoder": (Layout(CLIP_L, names_text.transformers),),
        "text_encoder_2": (Layout(CLIP_G, names_text.transformers),),
        "text_encoder_3": (Layout(T5, names_text.transformers),),
    },
    "flux": {
        "transformer": (Layout(UNET, names_transformers.flux), Layout("", names_transformers.flux)),
        "vae": LDM_VAE,
        "text_encoder": (Layout(CLIP_L, names_text.transformers),),
        "text_encoder_2": (Layout(T5, names_text.transformers),),
    },
}


def averaged(name: str) -> str:
    """The name of a denoiser's weight in its average over the training, as CompVis' code stores it: without dots."""
    return EMA + name.removeprefix(UNET).replace(".", "")


def has_no_influence(name: str) -> bool:
    """Whether a tensor of a checkpoint is known to be of no use when an image is drawn."""
    return any(re.fullmatch(pattern, name) for pattern in WITHOUT_INFLUENCE)

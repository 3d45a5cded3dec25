"""How the parts of a pipeline are told apart in a single file, and what else is in one; families say the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engines.single_file.piece import Piece

#: In front of the names of a denoiser, and of its average over the training.
DENOISER, EMA = "model.diffusion_model.", "model_ema.diffusion_model"
#: What is in checkpoints beside the weights that draw an image: counters, the buffers of the schedule, losses.
WITHOUT_INFLUENCE = (
    r"(.*\.)?position_ids",
    r"(.*\.)?logit_scale",
    r"cond_stage_model\.model\.(text_projection|attn_mask)",
    r"conditioner\.embedders\.1\.model\.attn_mask",
    r"text_encoders\.t5xxl\.transformer\.encoder\.embed_tokens\.weight",  # the same as shared.weight
    r"text_encoders\.clip_l\.transformer\.text_projection\.weight",  # taken before it, where a family has none
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


def averaged(name: str) -> str:
    """The name of a denoiser's weight in its average over the training, as CompVis' code stores it: without dots."""
    return EMA + name.removeprefix(DENOISER).replace(".", "")


def has_no_influence(name: str) -> bool:
    """Whether a tensor of a checkpoint is known to be of no use when an image is drawn."""
    return any(re.fullmatch(pattern, name) for pattern in WITHOUT_INFLUENCE)

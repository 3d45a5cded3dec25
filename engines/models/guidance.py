"""Guidance that was distilled into a UNet, as an input beside its timestep (Meng et al. 2023, arXiv 2210.03142)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

USUAL_GUIDANCE = 3.0  # where nobody says otherwise


def embedded_facts(dimensions: int | None) -> dict[str, Any]:
    """What the dimensions of a UNet's embedded guidance add to the facts of a family; nothing where it takes none."""
    if dimensions is None:
        return {}
    return {"conditioning": {"guidance": ()}, "constants": {"guidance": USUAL_GUIDANCE}, "guidance": "embedded"}


def beside_timestep(unet: Any, guidance: Tensor | None) -> dict[str, Tensor]:
    """The further argument of a UNet that takes guidance scales, float32 [rows]; none for other UNets."""
    if guidance is None:
        return {}
    kind = unet.time_embedding.cond_proj.weight.dtype
    return {"timestep_cond": guidance_embedding(guidance, unet.config.time_cond_proj_dim).to(kind)}


def guidance_embedding(guidance: Tensor, dimensions: int) -> Tensor:
    """Sines and cosines of guidance scales, [rows] -> float32 [rows, dimensions], as diffusers' pipelines embed them.

    They embed how far a scale is above 1, where nothing is guided; LCM's paper calls that w.
    """
    half = dimensions // 2
    frequencies = torch.exp(torch.arange(half, device=guidance.device) * (-math.log(10000.0) / (half - 1)))
    angles = (guidance.float() - 1)[:, None] * 1000.0 * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)

"""What the families with a transformer share: that its latents are those of the VAE, and names in single files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.single_file.piece import KEY, QUERY, VALUE, Piece

#: Where the text encoders lie in single files with all parts, as ComfyUI writes them.
CLIP_L, CLIP_G, T5XXL = (f"text_encoders.{name}.transformer." for name in ("clip_l", "clip_g", "t5xxl"))
#: Of one matrix of an attention, by the letters of diffusers' three.
ROWS = {"q": QUERY, "k": KEY, "v": VALUE}


def check_transformer(folder: Path, denoiser: Any, vae: Any, packed: int = 1) -> None:
    """Refuse a transformer of other latents than the VAE's; `packed` positions are one token of it.

    Raises
    ------
    EngineError
        Says both numbers.
    """
    takes, expected = denoiser.in_channels, packed * vae.latent_channels
    if takes == expected:
        return
    gives = denoiser.out_channels or takes
    why = "inpainting and control models are not supported" if takes > gives else "the parts are of different models"
    raise EngineError(
        f"{folder / 'transformer'} takes {takes} channels and the VAE has {vae.latent_channels}; expected "
        f"{expected}: {why}"
    )


def outer_piece(module: str, last: str, names: Mapping[str, str]) -> Piece | None:
    """Where a weight outside of the blocks lies: `names` says it, and the last modulation is the same in all models."""
    if module in names:
        return Piece(f"{names[module]}.{last}")
    return Piece(f"final_layer.adaLN_modulation.1.{last}", swapped=True) if module == "norm_out.linear" else None

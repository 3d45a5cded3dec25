"""The networks of a pipeline run once on shapes alone: some settings are refused only when a network is used."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from engines.checkpoint.folder import PARTS, reason
from engines.errors import EngineError
from engines.silence import quiet


def try_networks(folder: Path, pipeline: Any, size: int, length: int) -> None:
    """Draw one image without values: no weight is read, and nothing is computed but shapes.

    Parameters
    ----------
    pipeline
        As `empty_pipeline` makes it.
    size
        Image side in pixels.
    length
        Tokens of a prompt.

    Raises
    ------
    EngineError
        A network does not run, or gives another shape than the next one takes: names it.
    """
    unet, vae, side = pipeline.unet.config, pipeline.vae.config, size // pipeline.vae_scale_factor
    latents, image, words = (
        (1, vae.latent_channels, side, side),
        (1, vae.out_channels, size, size),
        (1, length, pipeline.text_encoder.config.hidden_size),
    )
    rows = (1, unet.in_channels, side, side)
    with torch.device("meta"), torch.inference_mode(), quiet():
        for part, expected in (("text_encoder", words), ("unet", latents), ("vae", image)):
            network = copy.deepcopy(getattr(pipeline, part)).to("meta")
            try:
                if part == "text_encoder":
                    got = network(torch.zeros(1, length, dtype=torch.int64))[0]
                elif part == "unet":
                    got = network(torch.zeros(rows), torch.zeros(1), torch.zeros(words))[0]
                else:
                    got = network.decode(network.encode(torch.zeros(image)).latent_dist.mean)[0]
            except Exception as error:  # whatever a network makes of settings that do not fit each other
                if isinstance(error, NotImplementedError) and "Meta" in str(error):
                    continue  # torch has no shapes for an operation, which says nothing of the settings
                raise EngineError(
                    f"{folder / part / 'config.json'} describes a {PARTS[part]} that does not run ({reason(error)}): "
                    "restore it; numbers stand without quotes"
                ) from error
            if tuple(got.shape) != expected:
                raise EngineError(
                    f"{folder / part / 'config.json'} describes a {PARTS[part]} that gives {list(got.shape)}; expected "
                    f"{list(expected)}: restore it"
                )

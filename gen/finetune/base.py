"""The pipeline that is tuned, read from its folder and checked; its networks are opened in float32 when they are used.

Text encoders are opened one after the other and are not kept: T5 alone takes 19 GB.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from engines.checkpoint.skeleton import tokenizers_of
from engines.checkpoint.tokenizer import open_tokenizer
from engines.checkpoint.weights import load_part
from engines.find_model import resolve
from engines.models import families
from engines.models.family import Family
from engines.pipeline_spec import PipelineSpec, model_digest, read_spec


@dataclass(frozen=True)
class Base:
    """A pipeline folder and what is opened of it; the networks are changed by training.

    Attributes
    ----------
    device
        Where prompts are encoded and images are drawn.
    """

    folder: Path
    spec: PipelineSpec
    digest: str
    device: torch.device

    @property
    def family(self) -> Family:
        return families()[self.spec.family]

    @property
    def inpaint(self) -> bool:
        """Whether the denoiser takes a mask and the masked image in addition to the noise."""
        return self.spec.unet_in_channels != self.spec.latent_channels

    @cached_property
    def denoiser(self) -> Any:
        return self.opened(self.spec.denoiser)

    @cached_property
    def vae(self) -> Any:
        return self.opened("vae")

    @cached_property
    def tokenizers(self) -> dict[str, Any]:
        """By name."""
        return {name: open_tokenizer(self.folder, name) for name in tokenizers_of(self.folder)}

    def opened(self, part: str) -> Any:
        """A network of the pipeline, read anew.

        Raises
        ------
        EngineError
            Weights are damaged, not finite, or do not fit their configuration.
        """
        return load_part(self.folder, part).requires_grad_(False)


def read_base(model: str | Path, size: int | None) -> tuple[Path, PipelineSpec]:
    """The folder and the spec of a pipeline; no weights are read.

    Raises
    ------
    EngineError
        The folder is not usable: see `read_spec`.
    """
    folder = resolve(model)
    return folder, read_spec(folder, size)


def load_base(folder: Path, spec: PipelineSpec, device: torch.device | str = "cpu") -> Base:
    """The pipeline of a folder.

    Raises
    ------
    EngineError
        Files are not as the program that made the folder wrote them.
    """
    return Base(folder, spec, model_digest(folder), torch.device(device))

"""The pipeline that is tuned, read from its folder and checked, in float32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermforge.common.errors import UserError
from engines.checkpoint.skeleton import parts_of, pipeline_of
from engines.checkpoint.tokenizer import open_tokenizer
from engines.checkpoint.weights import load_part
from engines.find_model import resolve
from engines.models import families
from engines.pipeline_spec import PipelineSpec, model_digest, read_spec

TUNED = "sd"


@dataclass(frozen=True)
class Base:
    """A pipeline folder and its loaded parts; the parts are changed by training."""

    folder: Path
    spec: PipelineSpec
    digest: str
    pipeline: Any  # StableDiffusionPipeline, or the inpainting one

    @property
    def inpaint(self) -> bool:
        """Whether the UNet takes a mask and the masked image in addition to the noise."""
        return self.spec.unet_in_channels != self.spec.latent_channels


def read_base(model: str | Path, size: int | None) -> tuple[Path, PipelineSpec]:
    """The folder and the spec of a pipeline; no weights are read.

    Raises
    ------
    EngineError
        The folder is not usable: see `read_spec`.
    """
    folder = resolve(model)
    spec = read_spec(folder, size)
    if spec.family != TUNED:
        title = families()[spec.family].title
        raise UserError(
            f"{folder} is of {title}; fine-tuning knows {families()[TUNED].title}: train an adapter of it in "
            "diffusers, fuse it, and build an engine of the result"
        )
    return folder, spec


def load_base(folder: Path, spec: PipelineSpec) -> Base:
    """Load every part.

    Raises
    ------
    EngineError
        Weights are damaged, not finite, or do not fit their configuration.
    """
    parts = {part: load_part(folder, part).requires_grad_(False) for part in parts_of(folder)}
    pipeline = pipeline_of(folder, parts, {"tokenizer": open_tokenizer(folder)})
    pipeline.set_progress_bar_config(disable=True)
    return Base(folder, spec, model_digest(folder), pipeline)

"""The pipeline that is tuned, read from its folder and checked, in float32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline

from engines.checkpoint.folder import PARTS, read_json
from engines.checkpoint.scheduler import open_scheduler
from engines.checkpoint.tokenizer import open_tokenizer
from engines.checkpoint.weights import load_part
from engines.find_model import resolve
from engines.pipeline_spec import PipelineSpec, model_digest, read_spec
from engines.silence import quiet


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
    return folder, read_spec(folder, size)


def load_base(folder: Path, spec: PipelineSpec) -> Base:
    """Load every part.

    Raises
    ------
    EngineError
        Weights are damaged, not finite, or do not fit their configuration.
    """
    parts = {part: load_part(folder, part).requires_grad_(False) for part in PARTS}
    name = read_json(folder / "model_index.json")["scheduler"][1]
    scheduler = open_scheduler(folder, name, read_json(folder / "scheduler" / "scheduler_config.json"))
    inpaint = spec.unet_in_channels != spec.latent_channels
    kind = StableDiffusionInpaintPipeline if inpaint else StableDiffusionPipeline
    with quiet():
        pipeline = kind(
            **parts,
            tokenizer=open_tokenizer(folder),
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return Base(folder, spec, model_digest(folder), pipeline)

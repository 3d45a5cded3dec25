"""The pipeline that is tuned, read from its folder and checked, in float32."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer

from engines.errors import EngineError
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
        A part is missing or pickled, or the UNet is neither a text-to-image nor an inpainting one.
    """
    folder = resolve(model)
    spec = read_spec(folder, size)
    plain, wide = spec.latent_channels, 2 * spec.latent_channels + 1
    if spec.unet_in_channels not in (plain, wide):
        raise EngineError(
            f"{folder / 'unet'} takes {spec.unet_in_channels} channels; expected {plain} (text to "
            f"image) or {wide} (inpainting)"
        )
    return folder, spec


def load_base(folder: Path, spec: PipelineSpec) -> Base:
    """Load every part.

    Raises
    ------
    EngineError
        Weights are damaged or do not fit their configuration.
    """
    try:
        with quiet():
            parts: dict[str, Any] = {
                "unet": UNet2DConditionModel.from_pretrained(folder / "unet", use_safetensors=True),
                "vae": AutoencoderKL.from_pretrained(folder / "vae", use_safetensors=True),
                "text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder", use_safetensors=True),
            }
            tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
            scheduler = _scheduler(folder)
    except EngineError:
        raise
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise EngineError(f"{folder} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    for part in parts.values():
        part.float().requires_grad_(False)
    inpaint = spec.unet_in_channels != spec.latent_channels
    kind = StableDiffusionInpaintPipeline if inpaint else StableDiffusionPipeline
    with quiet():
        pipeline = kind(
            **parts,
            tokenizer=tokenizer,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return Base(folder, spec, model_digest(folder), pipeline)


def _scheduler(folder: Path) -> Any:
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    name = str(config.get("_class_name"))
    kind = getattr(diffusers, name, None)
    if not name.endswith("Scheduler") or kind is None:
        raise EngineError(f"{folder / 'scheduler'} is a {name}, which this version of diffusers does not know")
    return kind.from_config(config)

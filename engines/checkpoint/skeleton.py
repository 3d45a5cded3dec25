"""A pipeline folder as diffusers' own pipeline object, without weights: what its numbers are is asked of diffusers."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines.checkpoint import settings
from engines.checkpoint.folder import PARTS, read_json, reason, refuse_code
from engines.checkpoint.scheduler import open_scheduler
from engines.checkpoint.settings import check_settings
from engines.errors import EngineError
from engines.silence import quiet

PIPELINES = ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline", "StableDiffusionImg2ImgPipeline")
TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
LIBRARIES = dict.fromkeys(("unet", "vae", "scheduler"), "diffusers")
LIBRARIES |= dict.fromkeys(("text_encoder", "tokenizer"), "transformers")
KNOWN = {"unet": settings.UNET, "vae": settings.VAE, "text_encoder": settings.TEXT_ENCODER}


def empty_pipeline(folder: Path) -> Any:
    """Diffusers' pipeline object of a folder, with networks that have shapes and no weights, and without a tokenizer.

    The constructor of the pipeline changes settings of old folders; here as in a user's own script.

    Raises
    ------
    EngineError
        A part is missing or of another class, or a setting is not followed here; names it.
    """
    check_index(folder, read_json(folder / "model_index.json"))
    refuse_code(folder)
    pipeline = pipeline_of(folder, {part: empty_network(folder, part) for part in PARTS})
    if pipeline.scheduler.config.get("clip_sample"):  # which the pipeline for text to image sets to False
        raise EngineError(
            f"{folder / 'scheduler' / 'scheduler_config.json'} has clip_sample = True, by which diffusers' "
            f"{type(pipeline).__name__} clips latents: set it to false, as Stable Diffusion has it"
        )
    return pipeline


def pipeline_of(folder: Path, networks: Mapping[str, Any], tokenizer: Any = None) -> Any:
    """Diffusers' pipeline object of networks and of the scheduler in a folder, which `check_index` let pass.

    Raises
    ------
    EngineError
        The scheduler is not followed here, or the parts do not fit each other.
    """
    name = read_json(folder / "model_index.json")["scheduler"][1]
    scheduler = open_scheduler(folder, name, read_json(folder / "scheduler" / "scheduler_config.json"))
    unet, vae = networks["unet"].config, networks["vae"].config
    kind = pipeline_class(inpaint=unet.in_channels != vae.latent_channels)
    others = {"tokenizer": tokenizer, "safety_checker": None, "feature_extractor": None}
    try:
        with quiet():
            return kind(**networks, scheduler=scheduler, **others, requires_safety_checker=False)
    except Exception as error:  # whatever a pipeline makes of parts that do not fit each other
        raise EngineError(f"{folder} is not opened by diffusers' {kind.__name__} ({reason(error)})") from error


def pipeline_class(inpaint: bool) -> Any:
    """The class of diffusers that opens a folder."""
    import diffusers

    return diffusers.StableDiffusionInpaintPipeline if inpaint else diffusers.StableDiffusionPipeline


def network_class(part: str) -> Any:
    """The class of a network, of diffusers or of transformers."""
    return getattr(importlib.import_module(LIBRARIES[part]), PARTS[part])


def check_index(folder: Path, index: dict[str, Any]) -> None:
    """Refuse another kind of pipeline, and parts of other classes.

    Raises
    ------
    EngineError
        Names the pipeline or the part.
    """
    if index.get("_class_name") not in PIPELINES:
        raise EngineError(
            f"{folder} holds a {index.get('_class_name')}; expected one of {', '.join(PIPELINES)} "
            "(SD 1.x, 2.x, inpainting)"
        )
    check_settings(folder / "model_index.json", index, settings.INDEX)
    classes = {part: (name,) for part, name in PARTS.items()} | {"tokenizer": TOKENIZERS, "scheduler": ()}
    for part, expected in classes.items():
        entry = index.get(part)
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry)):
            raise EngineError(f"{folder / 'model_index.json'} names no {part}: restore it")
        if entry[0] != LIBRARIES[part]:  # diffusers would import any other, from the folder itself if it lies there
            raise EngineError(
                f"{folder / 'model_index.json'} takes its {part} from {entry[0]!r}; expected {LIBRARIES[part]!r}: "
                "code in a model's folder is not run"
            )
        if expected and entry[1] not in expected:
            raise EngineError(f"{folder / part} is a {entry[1]}; this version builds engines of {expected[0]} only")


def empty_network(folder: Path, part: str) -> Any:
    """One network as its configuration describes it: parameters without values, buffers with theirs.

    Raises
    ------
    EngineError
        The configuration is missing, of another class, or describes no network.
    """
    from accelerate import init_empty_weights
    from transformers import CLIPTextConfig

    path = folder / part / "config.json"
    config = read_json(path)
    key, expected = ("architectures", [PARTS[part]]) if part == "text_encoder" else ("_class_name", PARTS[part])
    if key not in config:
        raise EngineError(f"{path} names no class: restore it, or add {json.dumps({key: expected})[1:-1]} to it")
    if (got := config[key]) not in (expected, PARTS[part]):
        name = got[0] if isinstance(got, list) and len(got) == 1 else got
        raise EngineError(f"{path.parent} is a {name}; this version builds engines of {PARTS[part]} only")
    check_settings(path, config, KNOWN[part])
    kind = network_class(part)
    try:
        with quiet(), init_empty_weights(include_buffers=False):
            if part == "text_encoder":
                return kind._from_config(CLIPTextConfig(**config), attn_implementation="eager").eval()
            return kind.from_config(config).eval()
    except Exception as error:  # whatever a class makes of settings that do not fit each other
        raise EngineError(f"{path} describes no {PARTS[part]} ({reason(error)}): restore it") from error

"""A pipeline folder as diffusers' own pipeline object, without weights: what its numbers are is asked of diffusers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from engines.checkpoint import settings
from engines.checkpoint.folder import PARTS, one_line, read_json
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
    import diffusers

    index = read_json(folder / "model_index.json")
    check_index(folder, index)
    networks = {part: empty_network(folder, part) for part in PARTS}
    scheduler_config = read_json(folder / "scheduler" / "scheduler_config.json")
    kind = diffusers.StableDiffusionPipeline
    if networks["unet"].config.in_channels != networks["vae"].config.latent_channels:
        kind = diffusers.StableDiffusionInpaintPipeline
    scheduler = open_scheduler(folder, index["scheduler"][1], scheduler_config)
    others = {"tokenizer": None, "safety_checker": None, "feature_extractor": None}
    try:
        with quiet():
            pipeline = kind(**networks, scheduler=scheduler, **others, requires_safety_checker=False)
    except Exception as error:  # whatever a pipeline makes of parts that do not fit each other
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise EngineError(f"{folder} is not opened by diffusers' {kind.__name__} ({reason})") from error
    if pipeline.scheduler.config.get("clip_sample"):  # which the pipeline for text to image sets to False
        raise EngineError(
            f"{folder / 'scheduler' / 'scheduler_config.json'} has clip_sample = True, by which diffusers' "
            f"{kind.__name__} clips latents: set it to false, as Stable Diffusion has it"
        )
    return pipeline


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
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    path = folder / part / "config.json"
    config = read_json(path)
    key, expected = ("architectures", [PARTS[part]]) if part == "text_encoder" else ("_class_name", PARTS[part])
    if key not in config:
        raise EngineError(f"{path} names no class: restore it, or add {json.dumps({key: expected})[1:-1]} to it")
    if (got := config[key]) not in (expected, PARTS[part]):
        name = got[0] if isinstance(got, list) and len(got) == 1 else got
        raise EngineError(f"{path.parent} is a {name}; this version builds engines of {PARTS[part]} only")
    check_settings(path, config, KNOWN[part])
    try:
        with quiet(), init_empty_weights(include_buffers=False):
            if part == "text_encoder":
                return CLIPTextModel._from_config(CLIPTextConfig(**config), attn_implementation="eager").eval()
            return {"unet": UNet2DConditionModel, "vae": AutoencoderKL}[part].from_config(config).eval()
    except Exception as error:  # whatever a class makes of settings that do not fit each other
        reason = re.sub(r"^'(\w+)'$", r"\1", one_line(error))
        raise EngineError(
            f"{path} describes no {PARTS[part]} ({type(error).__name__}: {reason}): restore it"
        ) from error

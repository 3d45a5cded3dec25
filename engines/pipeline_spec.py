"""A pipeline folder: its parts checked, and the numbers that sampling needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dermforge.common.digests import digest_files
from engines.errors import EngineError

PIPELINES = ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline", "StableDiffusionImg2ImgPipeline")
PARTS = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ValidationPrompt(_Frozen):
    """A prompt that the certificate draws, and the cell it belongs to."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore", frozen=True)

    prompt: str
    label: str | None = None
    group: str | None = None


class PipelineSpec(_Frozen):
    """The numbers and words of a pipeline that a sampler needs.

    Attributes
    ----------
    size, latent_size
        Side of an image in pixels, and of its latents; `vae_scale_factor` is their ratio.
    unet_in_channels
        More than `latent_channels` for inpainting: the mask and the masked latents come after the noisy ones.
    scaling_factor, shift_factor
        Latents in the UNet's scale are (the VAE's - shift) * scaling.
    scheduler
        The pipeline's `scheduler_config.json`.
    max_length, text_dim
        Tokens of a prompt, and dimensions of the embedding of each.
    lineage
        Ids of the real images that the weights were tuned on.
    phantom
        Whether the images show phantoms and not skin.
    """

    size: int
    latent_channels: int
    latent_size: int
    unet_in_channels: int
    vae_scale_factor: int
    scaling_factor: float
    shift_factor: float
    prediction_type: Literal["epsilon", "v_prediction", "sample"]
    num_train_timesteps: int
    scheduler: dict[str, Any]
    max_length: int
    text_dim: int
    classes: list[str] | None = None
    groups: list[str] | None = None
    prompt_template: str | None = None
    lineage: list[str] = []
    phantom: bool = False
    validation_prompts: list[ValidationPrompt] = []


def read_spec(folder: Path, size: int | None = None) -> PipelineSpec:
    """Check a pipeline folder and read its numbers and words.

    Parameters
    ----------
    folder
        What `DiffusionPipeline.save_pretrained` wrote; safetensors only.
    size
        Image side in pixels; None for the size the UNet was trained at.

    Raises
    ------
    EngineError
        A part is missing, pickled or of another class, or the size does not fit.
    """
    index = _read_json(folder / "model_index.json")
    if index.get("_class_name") not in PIPELINES:
        raise EngineError(
            f"{folder} holds a {index.get('_class_name')}; expected one of {', '.join(PIPELINES)} "
            "(SD 1.x, 2.x, inpainting)"
        )
    unet, vae, text = (_read_part(folder, part, expected) for part, expected in PARTS.items())
    scheduler = _read_json(folder / "scheduler" / "scheduler_config.json")
    tokenizer = _read_json(folder / "tokenizer" / "tokenizer_config.json")
    if unet.get("cross_attention_dim") != text["hidden_size"]:
        raise EngineError(
            f"{folder}: the UNet expects text of {unet.get('cross_attention_dim')} dimensions and the text encoder "
            f"gives {text['hidden_size']}; the parts are of different models"
        )
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
    size = size or int(unet["sample_size"]) * factor
    halvings = factor * 2 ** (len(unet["block_out_channels"]) - 1)
    if size % halvings or size <= 0:
        raise EngineError(f"size {size} does not fit {folder.name}: give a multiple of {halvings}")
    own = _read_json(folder / "dermforge.json") if (folder / "dermforge.json").exists() else {}
    try:
        return PipelineSpec(
            size=size,
            latent_channels=vae["latent_channels"],
            latent_size=size // factor,
            unet_in_channels=unet["in_channels"],
            vae_scale_factor=factor,
            scaling_factor=vae.get("scaling_factor") or 0.18215,
            shift_factor=vae.get("shift_factor") or 0.0,
            prediction_type=scheduler.get("prediction_type", "epsilon"),
            num_train_timesteps=scheduler.get("num_train_timesteps", 1000),
            scheduler=scheduler,
            max_length=min(int(tokenizer.get("model_max_length", 77)), text["max_position_embeddings"]),
            text_dim=text["hidden_size"],
            classes=own.get("classes"),
            groups=own.get("groups"),
            prompt_template=own.get("prompt_template"),
            lineage=own.get("lineage", []),
            phantom=own.get("phantom", False),
            validation_prompts=[
                ValidationPrompt(prompt=p["prompt"], label=p.get("class"), group=p.get("group"))
                for p in own.get("validation_prompts", [])
            ],
        )
    except (ValidationError, KeyError) as error:
        raise EngineError(f"{folder}: its configuration is not usable: {_one_line(error)}") from error


def model_digest(folder: Path) -> str:
    """sha256 of the weights and configurations of a pipeline folder, by relative name."""
    files = [p for p in folder.rglob("*") if p.suffix in (".safetensors", ".json", ".txt") and p.is_file()]
    return digest_files(folder, files)


def _read_part(folder: Path, part: str, expected: str) -> dict[str, Any]:
    """The configuration of one part, after its class and weights were checked."""
    place = folder / part
    config = _read_json(place / "config.json")
    got = config.get("_class_name") or (config.get("architectures") or ["?"])[0]
    if got != expected:
        raise EngineError(f"{place} is a {got}; this version builds engines of {expected} only")
    if not weight_files(place)[0]:
        pickled = sorted(p.name for kind in ("*.bin", "*.ckpt", "*.pt", "*.pth") for p in place.glob(kind))
        if pickled:
            raise EngineError(
                f"{place / pickled[0]} is a pickle, which can run code when opened; expected safetensors: convert it "
                f'on a machine that trusts it with `python -c "from diffusers import DiffusionPipeline as P; '
                f"P.from_pretrained('{folder}').save_pretrained('{folder}-safe')\"`"
            )
        raise EngineError(f"{place} has no weights: expected a .safetensors file")
    return config


def weight_files(place: Path) -> tuple[list[Path], str | None]:
    """The files that a part's weights are loaded from, and diffusers' name of that variant.

    Half precision is the second choice. Other copies of the same weights (such as `.non_ema.`) are not read.
    """
    found = sorted(place.glob("*.safetensors"))
    if plain := [path for path in found if "." not in path.stem]:
        return plain, None
    return [path for path in found if ".fp16" in path.stem], "fp16"


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise EngineError(f"{path} is missing: expected a pipeline folder as save_pretrained writes it")
    try:
        value = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EngineError(f"{path} is not JSON ({_one_line(error)}): restore it") from error
    if not isinstance(value, dict):
        raise EngineError(f"{path} holds a {type(value).__name__}; expected a JSON object")
    return value


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]

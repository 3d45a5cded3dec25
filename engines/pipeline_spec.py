"""A pipeline folder: its parts checked, and the numbers that sampling needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dermforge.common.digests import digest_bytes, digest_file
from engines.checkpoint.folder import averaged_weights, one_line, weight_files
from engines.errors import EngineError
from engines.facts import FACTS, read_facts
from engines.weights_source import WeightsSource

log = logging.getLogger("dermforge")
#: The files of a pipeline folder that can determine an image, by suffix.
DIGESTED = (".safetensors", ".json", ".txt")
#: Pixels of the largest side that anything is built, tuned or planned for.
LARGEST_SIDE = 4096


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ValidationPrompt(_Frozen):
    """A prompt that the certificate draws, and the cell it belongs to."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore", frozen=True)

    prompt: str
    label: str | None = None
    group: str | None = None


class Adapter(_Frozen):
    """A file that was fused into the weights (lora), whose word was added (embedding), or that decodes (decoder)."""

    file: str
    sha256: str
    kind: Literal["lora", "embedding", "decoder"]
    scale: float | None = None


class FewSteps(_Frozen):
    """How the images of a distilled pipeline are drawn: the solver's name, its steps, and the guidance scale to give.

    A scale of 1 guides nothing: the teacher's is in the weights.
    """

    solver: str
    steps: int = Field(ge=1)
    guidance: float


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
        The settings of diffusers' scheduler, those that `scheduler_config.json` leaves out among them.
    family, denoiser, text_encoders
        The kind of pipeline, the part that denoises, and those that read prompts.
    tokens
        Tokens of a prompt by tokenizer; `max_length` is their sum.
    conditioning
        The shape of one batch row of each tensor that the denoiser takes beside latents and time, in its order.
    constants
        Those of them that no prompt changes, with their values.
    empty_prompt
        Whether an empty negative prompt is encoded as any other text, or stands for zeros.
    guidance
        Whether guidance is the difference of two predictions, an input of the denoiser, or none.
    image_tokens
        Tokens of an image in the denoiser, by which some schedules are shifted.
    sigmas_from_one
        Whether the noise levels of a flow go from 1 to 1 / steps before they are shifted, as FLUX asks for.
    lineage
        Ids of the real images that the weights were tuned on, and entries for those that nobody recorded (`id_ranges`).
    phantom
        Whether the images show phantoms and not skin.
    adapters
        What was added to the weights before the build, in its order.
    few_steps
        Of a distilled pipeline; None for others.
    source
        Where the weights came from; None for those that the pipeline folder has under their plain names.
    small_decoder
        Whether images are decoded by a small decoder and not by the VAE's own.
    """

    size: int
    latent_channels: int
    latent_size: int
    unet_in_channels: int
    vae_scale_factor: int
    scaling_factor: float
    shift_factor: float
    prediction_type: Literal["epsilon", "v_prediction", "sample", "flow_prediction"]
    num_train_timesteps: int
    scheduler: dict[str, Any]
    family: str
    denoiser: str
    text_encoders: list[str]
    tokens: dict[str, int]
    conditioning: dict[str, tuple[int, ...]]
    constants: dict[str, list[float] | float] = {}
    empty_prompt: Literal["encoded", "zeros"] = "encoded"
    guidance: Literal["classifier-free", "embedded", "none"] = "classifier-free"
    image_tokens: int | None = None
    sigmas_from_one: bool = False
    classes: list[str] | None = None
    groups: list[str] | None = None
    prompt_template: str | None = None
    lineage: list[str] = []
    phantom: bool = False
    validation_prompts: list[ValidationPrompt] = []
    adapters: list[Adapter] = []
    few_steps: FewSteps | None = None
    source: WeightsSource | None = None
    small_decoder: bool = False

    @property
    def networks(self) -> list[str]:
        """The parts with weights."""
        return [*self.text_encoders, self.denoiser, "vae"]

    @property
    def parts(self) -> list[str]:
        """The folders of a pipeline."""
        return [*self.networks, *self.tokens, "scheduler"]

    @property
    def max_length(self) -> int:
        """Tokens of a prompt, of all tokenizers together."""
        return sum(self.tokens.values())


def read_spec(folder: Path, size: int | None = None) -> PipelineSpec:
    """Check a pipeline folder and read its numbers and words, as diffusers' own pipeline object has them.

    Parameters
    ----------
    folder
        What `DiffusionPipeline.save_pretrained` wrote; safetensors only.
    size
        Image side in pixels; None for the size the UNet was trained at.

    Raises
    ------
    EngineError
        A part is missing, pickled or of another class, a setting is not followed here, weights are missing or unknown,
        or the size does not fit. Names the part.
    """
    from engines.checkpoint.dry_run import try_networks
    from engines.checkpoint.scheduler import scheduler_settings
    from engines.checkpoint.skeleton import empty_pipeline, parts_of, read_family
    from engines.checkpoint.variants import other_copies
    from engines.checkpoint.weights import check_weights
    from engines.small_decoder import check_small_decoder, has_small_decoder

    pipeline, family = empty_pipeline(folder), read_family(folder)
    networks = {part: getattr(pipeline, part) for part in parts_of(folder)}
    vae, factor = pipeline.vae.config, pipeline.vae_scale_factor
    _check_scale(folder, vae.scaling_factor)
    if usual := size is None:
        size = _own_size(folder / family.denoiser, family.own_side(networks), factor)
    multiple = factor * family.latent_multiple(networks)
    largest = family.largest_side(networks)
    most = LARGEST_SIDE if largest is None else min(LARGEST_SIDE, largest * factor)
    if size % multiple or size < multiple or (size > most and not (usual and largest is None)):
        raise EngineError(
            f"size {size} does not fit {folder}: expected a multiple of {multiple}, at least {multiple} and at most "
            f"{most - most % multiple}"
        )
    tokens = _tokens(folder, networks)
    facts = family.facts(folder, networks, tokens, size // factor)
    for part, network in networks.items():
        if wrapped := check_weights(folder, part, network):
            log.warning("%s: %s is taken away from the names of its weights", folder / part, ", ".join(wrapped))
    if others := sorted({*averaged_weights(folder), *other_copies(folder, networks)}):
        files = [weight_files(folder, part).files[0] for part in networks]
        log.warning(
            "%s: the weights are read from %s, and not from %s: choose a variant to read others",
            folder,
            ", ".join(path.relative_to(folder).as_posix() for path in files),
            ", ".join(others),
        )
    if has_small_decoder(folder):
        check_small_decoder(folder, vae, factor)
    own = read_facts(folder)
    if own.get("few_steps") and facts.get("guidance", "classifier-free") == "classifier-free":
        facts["guidance"] = "none"  # the teacher's is in the weights
    scheduler = scheduler_settings(pipeline.scheduler)
    try:
        spec = PipelineSpec(
            family=family.name,
            denoiser=family.denoiser,
            text_encoders=[part for part in family.text_encoders() if part in networks],
            tokens=tokens,
            size=size,
            latent_channels=vae.latent_channels,
            latent_size=size // factor,
            vae_scale_factor=factor,
            scaling_factor=vae.scaling_factor,
            shift_factor=vae.shift_factor or 0.0,
            prediction_type="flow_prediction" if family.flow else scheduler["prediction_type"],
            num_train_timesteps=scheduler["num_train_timesteps"],
            scheduler=scheduler,
            classes=own.get("classes"),
            groups=own.get("groups"),
            prompt_template=own.get("prompt_template"),
            lineage=own.get("lineage", []),
            phantom=own.get("phantom", False),
            adapters=own.get("adapters", []),
            few_steps=own.get("few_steps"),
            source=own.get("source"),
            small_decoder=has_small_decoder(folder),
            validation_prompts=[
                ValidationPrompt(prompt=p["prompt"], label=p.get("class"), group=p.get("group"))
                for p in own.get("validation_prompts", [])
            ],
            **facts,
        )
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{folder}: its configuration is not usable: {one_line(error)}") from error
    try_networks(folder, networks, spec)
    return spec


def _tokens(folder: Path, networks: Mapping[str, Any]) -> dict[str, int]:
    """Tokens of a prompt by tokenizer, each checked with its text encoder."""
    from engines.checkpoint.skeleton import tokenizers_of
    from engines.checkpoint.tokenizer import check_tokenizer, open_tokenizer, tokens_of

    encoders = [network for part, network in networks.items() if part.startswith("text_encoder")]
    found = {}
    for name, encoder in zip(tokenizers_of(folder), encoders, strict=True):
        tokenizer, config = open_tokenizer(folder, name), encoder.config
        check_tokenizer(folder / name, tokenizer, getattr(config, "max_position_embeddings", None), config.vocab_size)
        found[name] = tokens_of(folder, name, tokenizer)
    return found


def _check_scale(folder: Path, scale: Any) -> None:
    """Refuse a VAE without a factor between its latents and the UNet's."""
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        raise EngineError(f"{folder / 'vae' / 'config.json'} has scaling_factor = {scale}; expected a number above 0")


def _own_size(place: Path, sample_size: Any, factor: int) -> int:
    """The image side that a denoiser was trained at, from its `sample_size`: a number, or height and width."""
    sides = list(sample_size) if isinstance(sample_size, list | tuple) else [sample_size] * 2
    if len(sides) == 2 and sides[0] == sides[1] and isinstance(sides[0], int) and not isinstance(sides[0], bool):
        return sides[0] * factor
    raise EngineError(
        f"{place / 'config.json'} has sample_size = {sample_size}, which is no side of a square: give the "
        "size of an image in pixels"
    )


def model_digest(folder: Path) -> str:
    """sha256 of the weights and configurations of a pipeline folder, by relative name.

    Raises
    ------
    EngineError
        A file is not as the program that made the folder wrote it, where `dermforge.json` says what it wrote.
    """
    found = file_digests(folder)
    written = read_facts(folder).get("files") or {}
    if not isinstance(written, dict):
        raise EngineError(
            f"{folder / FACTS} has files = {written}; expected names of files with their sha256: restore it"
        )
    for name, sha256 in sorted(written.items()):
        if found.get(name) != sha256:
            raise EngineError(
                f"{folder / name} is damaged, or was changed after it was written (its sha256 is not that of {FACTS}): "
                f"restore it, make the folder again, or take `files` out of {FACTS} if you changed it yourself"
            )
    return digest_bytes("".join(f"{name}\0{digest}\n" for name, digest in sorted(found.items())).encode())


def file_digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file that can determine an image, by its name in the folder."""
    found = (*folder.glob("*"), *folder.glob("*/*"))  # parts that are links to other folders among them
    files = [p for p in found if p.suffix in DIGESTED and p.is_file()]
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}

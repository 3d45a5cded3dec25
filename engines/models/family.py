"""What is said of a family of pipelines: its parts, its conditioning, its latents and how its denoiser is called.

Everything else (export, engine files, certificates, row packing, guidance, strategies, shards) is written once against
this. A denoiser is a UNet or a transformer. It always takes and gives latents as the VAE has them, [rows, channels, h,
w]; a family that packs them does so within `predict`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from engines.checkpoint.settings import Known
from engines.conditioning import Conditioning
from engines.pipeline_spec import PipelineSpec
from engines.single_file.layouts import Layout

#: The outputs of one text encoder by name, float32 [n, ...].
Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Part:
    """A network of a pipeline: the library and name of its class, and the keys of its configuration.

    Attributes
    ----------
    config
        The class of its configuration, in transformers.
    int8
        Whether its weights may be kept in 8 bits: it is large, and runs once a prompt.
    """

    library: str
    kind: str
    settings: Known
    config: str | None = None
    optional: bool = False
    int8: bool = False


@dataclass(frozen=True)
class Tokens:
    """A tokenizer of a pipeline: its classes, and how many tokens of a prompt it keeps, if not as many as it says.

    Without the `needed` tokens no prompt is encoded; some versions of transformers fail on them when they open it.
    """

    kinds: tuple[str, ...]
    settings: Known
    length: int | None = None
    optional: bool = False
    needed: tuple[str, ...] = ("bos_token", "eos_token", "pad_token")


class Family(ABC):
    """A family of pipelines.

    Attributes
    ----------
    name, title
        The word for it in a bundle, and what people call it.
    pipelines
        The classes of diffusers whose folders are of this family; the first one draws from text.
    inpainting
        The class that opens a denoiser which takes a mask and the masked latents; None where there is none.
    denoiser
        The part that denoises.
    parts, tokenizers
        By the name of their folder. Text encoder k of the pipeline reads tokenizer k.
    index
        The keys of `model_index.json`.
    layouts
        Where each part's weights lie in a checkpoint of one file; of several layouts the one of which a file has names
        is taken. Nothing where none are read.
    public
        Hub ids of public models, and the licences of their weights.
    text_widths
        Widths of the text that the denoiser attends to, by which an adapter of the family is known, and what people
        call those models.
    inputs
        Names of the conditioning's tensors in ONNX graphs.
    flow
        Whether the denoiser was trained by flow matching.
    their_options
        Further arguments of diffusers' pipeline when it draws for a certificate.
    their_names
        What its `encode_prompt` gives, by the names under which it takes the same.
    scalar_timestep
        Whether optimum's pipelines run a graph of this denoiser with one timestep for all rows.
    """

    name: str
    title: str
    pipelines: tuple[str, ...]
    inpainting: str | None = None
    denoiser: str
    parts: Mapping[str, Part]
    tokenizers: Mapping[str, Tokens]
    index: Known
    layouts: Mapping[str, tuple[Layout, ...]] = MappingProxyType({})
    public: Mapping[str, str] = MappingProxyType({})
    text_widths: Mapping[int, str] = MappingProxyType({})
    inputs: Mapping[str, str]
    scalar_timestep = False
    flow = False
    their_options: Mapping[str, Any] = MappingProxyType({})
    their_names: tuple[str, ...] = (
        *("prompt_embeds", "negative_prompt_embeds"),
        *("pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
    )

    def text_encoders(self) -> tuple[str, ...]:
        """The parts that read prompts."""
        return tuple(part for part in self.parts if part.startswith("text_encoder"))

    def readers(self) -> dict[str, str]:
        """The tokenizer of each text encoder."""
        return dict(zip(self.text_encoders(), self.tokenizers, strict=True))

    @abstractmethod
    def facts(self, folder: Path, networks: Mapping[str, Any], lengths: Mapping[str, int], side: int) -> dict[str, Any]:
        """The fields of `PipelineSpec` that depend on the family: channels, conditioning, constants, guidance.

        Parameters
        ----------
        networks
            Without weights; parts that are optional may be missing.
        lengths
            Tokens of a prompt by tokenizer.
        side
            Of the latents.

        Raises
        ------
        EngineError
            Parts do not fit each other.
        """

    def latent_multiple(self, networks: Mapping[str, Any]) -> int:
        """What the side of latents must be a multiple of: a UNet halves it in each level, a transformer cuts it up."""
        config = networks[self.denoiser].config
        return int(2 ** (len(config.block_out_channels) - 1) if self.denoiser == "unet" else config.patch_size)

    def own_side(self, networks: Mapping[str, Any]) -> Any:
        """The side of latents that the denoiser was trained at, as its configuration has it."""
        return networks[self.denoiser].config.sample_size

    def largest_side(self, networks: Mapping[str, Any]) -> int | None:
        """The largest side of latents that the denoiser has positions for; None where it takes any."""
        return None

    def prepared(self, prompt: str) -> str:
        """What diffusers' pipeline makes of a prompt before the tokenizer reads it."""
        return prompt

    @abstractmethod
    def text_outputs(self, part: str, network: Any, ids: Tensor) -> dict[str, Tensor]:
        """What one text encoder gives of token ids, int64 [n, tokens], by name; in the order of the graph's outputs."""

    @abstractmethod
    def conditioning(self, outputs: Mapping[str, Outputs], spec: PipelineSpec) -> Conditioning:
        """What all text encoders gave, put together: the tensors of `spec.conditioning` that depend on the prompt."""

    @abstractmethod
    def predict(self, denoiser: Any, latents: Tensor, times: Tensor, told: Conditioning, spec: PipelineSpec) -> Tensor:
        """The denoiser's prediction, [rows, latent_channels, h, w], in the precision of the latents.

        Parameters
        ----------
        latents
            [rows, spec.unet_in_channels, h, w], in the precision of the denoiser's products, as `told` is.
        times
            float32 [rows]: timesteps on the scale of the scheduler.
        told
            The tensors of `spec.conditioning`.
        """

    def their_prompt(self, pipeline: Any, prompt: str, device: torch.device) -> dict[str, Tensor]:
        """A prompt and the empty one as arguments of diffusers' pipeline, each of one row."""
        others = [None] * (len(self.tokenizers) - 1)  # the other text encoders read the same prompt
        return dict(zip(self.their_names, pipeline.encode_prompt(prompt, *others, device=device), strict=False))

    def their_latents(self, latents: Tensor) -> Tensor:
        """Latents as diffusers' pipeline takes them."""
        return latents

    def our_latents(self, latents: Tensor, spec: PipelineSpec) -> Tensor:
        """Latents as diffusers' pipeline gives them, as [n, channels, h, w]."""
        return latents

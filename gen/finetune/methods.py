"""The network that is trained, with its prompts, and the three choices of what in it may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dermforge.common.errors import UserError
from dermforge.common.extras import how_to_install
from engines.conditioning import Conditioning
from engines.models import families
from engines.pipeline_spec import PipelineSpec
from gen.finetune.base import Base
from gen.finetune.data.examples import Examples
from gen.finetune.settings import Hyperparameters
from gen.finetune.text import FrozenText, LearntText, frozen_text, learnt_text

#: The attention projections, as diffusers' own LoRA examples choose them; the second line is of transformers in which
#: text and image attend to each other.
PROJECTIONS = [*("to_q", "to_k", "to_v", "to_out.0"), *("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")]


class PromptedDenoiser(nn.Module):
    """noisy [b, C or 2C + 1, h, w], timesteps [b], numbers of prompts [b] -> prediction [b, C, h, w].

    Parameters
    ----------
    prompts
        Those that the numbers stand for; the last one is the dropped prompt.
    """

    def __init__(
        self, denoiser: Any, text: FrozenText | LearntText, spec: PipelineSpec, prompts: Sequence[str]
    ) -> None:
        super().__init__()
        self.denoiser, self.text, self.spec, self.prompts = denoiser, text, spec, list(prompts)

    def forward(self, noisy: Tensor, timesteps: Tensor, which: Tensor) -> Tensor:
        return self.predicted(self.denoiser, noisy, timesteps, self.text(which))

    def predicted(self, denoiser: Any, noisy: Tensor, timesteps: Tensor, told: Conditioning) -> Tensor:
        """What a denoiser of this family predicts, [b, C, h, w]."""
        return families()[self.spec.family].predict(denoiser, noisy, timesteps, told, self.spec)

    def averages(self, averages: list[Tensor]) -> None:
        """Take the averaged weights of what is trained, where there are any; they change in place."""

    def drawn_as(self, spec: PipelineSpec) -> PipelineSpec:
        """The numbers of the pipeline that this network belongs to."""
        return spec


def new_network(base: Base, examples: Examples, settings: Hyperparameters) -> PromptedDenoiser:
    """The network of a method, with its prompts: those of the images, that of the prior where there is one, and ""."""
    texts = [*examples.prompts, *([settings.prior_prompt] if settings.prior else []), ""]
    if settings.method == "full":
        return full(base, texts)
    if settings.method == "lora":
        return lora(base, texts, settings.rank, settings.seed)
    return textual_inversion(base, texts, examples.words)


def full(base: Base, prompts: Sequence[str]) -> PromptedDenoiser:
    """Train the whole denoiser and nothing else (Sagers et al. 2023)."""
    text = frozen_text(base, prompts)  # before the denoiser is opened: memory may not hold both
    return PromptedDenoiser(base.denoiser.requires_grad_(True), text, base.spec, prompts)


def lora(base: Base, prompts: Sequence[str], rank: int, seed: int) -> PromptedDenoiser:
    """Train low-rank updates of the denoiser's attention."""
    text = frozen_text(base, prompts)
    add_low_rank(base.denoiser, rank, seed, PROJECTIONS)
    return PromptedDenoiser(base.denoiser, text, base.spec, prompts)


def add_low_rank(denoiser: Any, rank: int, seed: int, modules: list[str]) -> None:
    """Add low-rank updates (Hu et al. 2021, arXiv 2106.09685), by peft, to the modules of these names.

    Raises
    ------
    UserError
        peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(f"LoRA needs peft, which is not installed: {how_to_install('lora')}") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=modules)
        inject_adapter_in_model(config, denoiser)


def textual_inversion(base: Base, prompts: Sequence[str], words: Sequence[str]) -> PromptedDenoiser:
    """Train one new word for each class (Gal et al. 2022, arXiv 2208.01618), in every text encoder."""
    return PromptedDenoiser(base.denoiser, learnt_text(base, prompts, words), base.spec, prompts)

"""The network that is trained, with its prompts, and the three choices of what in it may change."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from dermforge.common.errors import UserError
from dermforge.common.extras import how_to_install
from engines.checkpoint.tokenizer import token_ids as encoded_ids
from engines.pipeline_spec import PipelineSpec
from gen.finetune.base import Base
from gen.finetune.data.examples import Examples
from gen.finetune.settings import Hyperparameters
from gen.plan.prompts import too_long

#: The attention projections, as diffusers' own LoRA examples choose them.
PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]


class FrozenText(nn.Module):
    """Prompts that are encoded once; takes their numbers, [b]."""

    def __init__(self, text_encoder: CLIPTextModel, ids: Tensor) -> None:
        super().__init__()
        self.encoded: Tensor
        with torch.no_grad():
            encoded = torch.cat([text_encoder(part)[0] for part in ids.split(16)])
        self.register_buffer("encoded", encoded.float(), persistent=False)

    def forward(self, which: Tensor) -> Tensor:
        return self.encoded[which]


class LearntText(nn.Module):
    """Prompts that are encoded again at every step, because some of their words are being learnt."""

    def __init__(self, text_encoder: CLIPTextModel, ids: Tensor) -> None:
        super().__init__()
        self.ids: Tensor
        self.text_encoder = text_encoder
        self.register_buffer("ids", ids, persistent=False)

    def forward(self, which: Tensor) -> Tensor:
        encoded: Tensor = self.text_encoder(self.ids[which])[0]
        return encoded


class Words(nn.Module):
    """A token embedding whose last rows are learnt; it replaces the encoder's own."""

    def __init__(self, embedding: nn.Embedding, learnt: Tensor) -> None:
        super().__init__()
        self.fixed = nn.Parameter(embedding.weight.detach(), requires_grad=False)
        self.learnt = nn.Parameter(learnt.clone())

    @property
    def weight(self) -> Tensor:
        return torch.cat([self.fixed, self.learnt])

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)


class PromptedUNet(nn.Module):
    """noisy [b, C or 2C + 1, h, w], timesteps [b], numbers of prompts [b] -> prediction [b, C, h, w]."""

    def __init__(self, unet: UNet2DConditionModel, text: FrozenText | LearntText) -> None:
        super().__init__()
        self.unet, self.text = unet, text

    def forward(self, noisy: Tensor, timesteps: Tensor, which: Tensor) -> Tensor:
        predicted: Tensor = self.unet(noisy, timesteps, self.text(which), return_dict=False)[0]
        return predicted

    def averages(self, averages: list[Tensor]) -> None:
        """Take the averaged weights of what is trained, where there are any; they change in place."""

    def drawn_as(self, spec: PipelineSpec) -> PipelineSpec:
        """The numbers of the pipeline that this network belongs to."""
        return spec


def new_network(base: Base, examples: Examples, settings: Hyperparameters) -> PromptedUNet:
    """The network of a method, with its prompts: those of the images, that of the prior where there is one, and ""."""
    texts = [*examples.prompts, *([settings.prior_prompt] if settings.prior else []), ""]
    if settings.method == "full":
        return full(base, texts)
    if settings.method == "lora":
        return lora(base, texts, settings.rank, settings.seed)
    return textual_inversion(base, texts, examples.words)


def full(base: Base, prompts: Sequence[str]) -> PromptedUNet:
    """Train the whole UNet and nothing else (Sagers et al. 2023)."""
    denoiser = _with_frozen_text(base, prompts)
    denoiser.unet.requires_grad_(True)
    return denoiser


def lora(base: Base, prompts: Sequence[str], rank: int, seed: int) -> PromptedUNet:
    """Train low-rank updates of the UNet's attention."""
    denoiser = _with_frozen_text(base, prompts)
    add_low_rank(denoiser.unet, rank, seed, PROJECTIONS)
    return denoiser


def add_low_rank(unet: UNet2DConditionModel, rank: int, seed: int, modules: list[str]) -> None:
    """Add low-rank updates (Hu et al. 2021, arXiv 2106.09685), by peft, to the modules of these names.

    Raises
    ------
    UserError
        peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise UserError(f"LoRA needs peft, which is not installed: {how_to_install('lora')}") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=modules))


def textual_inversion(base: Base, prompts: Sequence[str], words: Sequence[str]) -> PromptedUNet:
    """Train one new word for each class (Gal et al. 2022, arXiv 2208.01618); it starts as the mean of its tokens.

    Parameters
    ----------
    words
        The new words as the prompts have them: `<plaque>`, `<lichen planus>`.
    """
    tokenizer, text = base.pipeline.tokenizer, base.pipeline.text_encoder
    old = text.get_input_embeddings()
    begun = [old.weight[tokenizer(w.strip("<>"), add_special_tokens=False).input_ids].mean(0) for w in words]
    add_words(tokenizer, words)
    text.set_input_embeddings(Words(old, torch.stack(begun)))
    return PromptedUNet(base.pipeline.unet, LearntText(text, token_ids(tokenizer, prompts, base.spec.max_length)))


def add_words(tokenizer: CLIPTokenizer, words: Sequence[str]) -> None:
    """Extend a tokenizer.

    Raises
    ------
    UserError
        The tokenizer knows one of the words: the base model was tuned with it.
    """
    if known := sorted(set(words) & set(tokenizer.get_vocab())):
        raise UserError(
            f"the base model's tokenizer knows {', '.join(known)} already; start from a model that was not "
            "tuned by textual inversion on the same classes"
        )
    tokenizer.add_tokens(list(words))


def token_ids(tokenizer: CLIPTokenizer, prompts: Sequence[str], limit: int) -> Tensor:
    """int64 [n, limit].

    Raises
    ------
    UserError
        A prompt is too long for the text encoder.
    """
    if cut := too_long(prompts, tokenizer, limit):
        raise UserError(
            f"{len(cut)} prompts have more than the {limit} tokens that the model reads ({cut[0][1]}: "
            f"{cut[0][0]!r}); use a shorter template, or shorter names"
        )
    return encoded_ids(tokenizer, prompts, limit)


def _with_frozen_text(base: Base, prompts: Sequence[str]) -> PromptedUNet:
    return PromptedUNet(base.pipeline.unet, frozen_text(base, prompts))


def frozen_text(base: Base, prompts: Sequence[str]) -> FrozenText:
    """Prompts that are encoded once."""
    return FrozenText(base.pipeline.text_encoder, token_ids(base.pipeline.tokenizer, prompts, base.spec.max_length))

"""What a denoiser is told of prompts in training: encoded once, or at each step where words are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermforge.common.errors import UserError
from engines.conditioning import Conditioning, chosen
from engines.memory import give_back
from engines.pipeline_spec import PipelineSpec
from engines.text import completed, prompt_ids, text_call
from gen.finetune.base import Base
from gen.plan.prompts import too_long

BATCH = 16


class FrozenText(nn.Module):
    """Prompts that were encoded once; takes their numbers, [b]."""

    def __init__(self, told: Conditioning) -> None:
        super().__init__()
        self.names = list(told)
        for name, value in told.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, which: Tensor) -> dict[str, Tensor]:
        return chosen({name: getattr(self, name) for name in self.names}, which)


class LearntText(nn.Module):
    """Prompts that are encoded again at every step, because some of their words are being learnt.

    Parameters
    ----------
    encoders
        All text encoders, by part.
    ids
        Of the prompts, int64 [n, max_length]; the last one is the dropped prompt.
    """

    def __init__(self, base: Base, encoders: nn.ModuleDict, ids: Tensor) -> None:
        super().__init__()
        self.ids: Tensor
        self.spec, self.encoders = base.spec, encoders
        self.register_buffer("ids", ids, persistent=False)
        calls = {part: partial(base.family.text_outputs, part, encoders[part]) for part in encoders}
        self.read = text_call(base.spec, calls)

    def forward(self, which: Tensor) -> dict[str, Tensor]:
        told = _without_dropped(self.read(self.ids[which]), which == len(self.ids) - 1, self.spec)
        return completed(told, self.spec, len(which))


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


@torch.no_grad()
def frozen_text(base: Base, prompts: Sequence[str]) -> FrozenText:
    """Encode prompts, of which the last one is the dropped prompt; one text encoder is in memory at a time."""
    spec, outputs = base.spec, dict[str, dict[str, Tensor]]()
    ids = checked_ids(base, prompts)
    for part, own in zip(spec.text_encoders, ids.split(list(spec.tokens.values()), dim=1), strict=True):
        encoder = base.opened(part).to(base.device)
        found = [base.family.text_outputs(part, encoder, some.to(base.device)) for some in own.split(BATCH)]
        outputs[part] = {name: torch.cat([one[name] for one in found]).cpu() for name in found[0]}
        del encoder
        give_back()
    dropped = torch.arange(len(ids)) == len(ids) - 1
    told = _without_dropped(base.family.conditioning(outputs, spec), dropped, spec)
    return FrozenText(completed(told, spec, len(ids)))


def learnt_text(base: Base, prompts: Sequence[str], words: Sequence[str]) -> LearntText:
    """Text encoders in which each word has one new embedding, which starts as the mean of its tokens.

    Parameters
    ----------
    words
        The new words as the prompts have them: `<plaque>`, `<lichen planus>`.
    """
    encoders = nn.ModuleDict()
    for part, tokenizer in zip(base.spec.text_encoders, base.tokenizers.values(), strict=True):
        encoders[part] = encoder = base.opened(part)
        old = encoder.get_input_embeddings()
        begun = [old.weight[tokenizer(w.strip("<>"), add_special_tokens=False).input_ids].mean(0) for w in words]
        add_words(tokenizer, words)
        encoder.set_input_embeddings(Words(old, torch.stack(begun)))
    return LearntText(base, encoders, checked_ids(base, prompts))


def add_words(tokenizer: Any, words: Sequence[str]) -> None:
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


def checked_ids(base: Base, prompts: Sequence[str]) -> Tensor:
    """Token ids, int64 [n, max_length].

    Raises
    ------
    UserError
        A prompt is too long for the text encoder that reads most.
    """
    spec = base.spec
    longest = max(spec.tokens, key=lambda name: spec.tokens[name])
    limit, prepared = spec.tokens[longest], [base.family.prepared(prompt) for prompt in prompts]
    if cut := too_long(prepared, base.tokenizers[longest], limit):
        raise UserError(
            f"{len(cut)} prompts have more than the {limit} tokens that the model reads ({cut[0][1]}: "
            f"{cut[0][0]!r}); use a shorter `template`, or shorter names"
        )
    return prompt_ids(spec, base.tokenizers, prompts)


def _without_dropped(told: Conditioning, dropped: Tensor, spec: PipelineSpec) -> Conditioning:
    """Zeros for the prompts that were dropped, where the pipeline takes an empty negative prompt for zeros."""
    if spec.empty_prompt != "zeros":
        return told
    return {name: value.masked_fill(dropped.reshape(-1, *[1] * (value.ndim - 1)), 0) for name, value in told.items()}

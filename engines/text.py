"""Prompts to conditioning: each text encoder reads its own token ids, and the family puts what they give together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from engines.checkpoint.tokenizer import token_ids
from engines.conditioning import Conditioning, empty
from engines.models import families
from engines.pipeline_spec import PipelineSpec

#: Token ids of one tokenizer -> the outputs of its text encoder by name.
Encoder = Callable[[torch.Tensor], Mapping[str, torch.Tensor]]


def prompt_ids(spec: PipelineSpec, tokenizers: Mapping[str, Any], prompts: Sequence[str]) -> torch.Tensor:
    """Token ids of prompts, those of all tokenizers side by side: int64 [n, max_length]; longer prompts are cut."""
    texts = [families()[spec.family].prepared(prompt) for prompt in prompts]
    return torch.cat([token_ids(tokenizers[name], texts, length) for name, length in spec.tokens.items()], dim=1)


def text_call(spec: PipelineSpec, encoders: Mapping[str, Encoder]) -> Callable[[torch.Tensor], Conditioning]:
    """The call of an engine that reads prompts: int64 [n, max_length] -> conditioning.

    Parameters
    ----------
    encoders
        By part, as `spec.text_encoders` names them.
    """
    family, lengths = families()[spec.family], list(spec.tokens.values())

    def text(ids: torch.Tensor) -> Conditioning:
        own = zip(spec.text_encoders, ids.split(lengths, dim=1), strict=True)
        return family.conditioning({part: encoders[part](of_part.contiguous()) for part, of_part in own}, spec)

    return text


def completed(told: Conditioning, spec: PipelineSpec, rows: int) -> dict[str, torch.Tensor]:
    """What prompts give, and the tensors that no prompt changes, in the order in which the denoiser takes them.

    Parameters
    ----------
    told
        The tensors that depend on prompts, of so many rows.
    """
    device = next(iter(told.values())).device
    constants = empty({name: spec.conditioning[name] for name in spec.constants}, rows, device)
    for name, value in constants.items():
        value += torch.tensor(spec.constants[name], device=device)
    return {name: told[name] if name in told else constants[name] for name in spec.conditioning}

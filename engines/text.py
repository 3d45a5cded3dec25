"""Prompts to conditioning: each text encoder reads its own token ids, and the family puts what they give together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from engines.calls import Encoder
from engines.checkpoint.tokenizer import token_ids
from engines.conditioning import Conditioning, empty
from engines.models import families
from engines.pipeline_spec import PipelineSpec


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
    family = families()[spec.family]
    return lambda ids: family.conditioning(read_each(spec, encoders, ids), spec)


def read_each(
    spec: PipelineSpec, encoders: Mapping[str, Encoder], ids: torch.Tensor
) -> dict[str, Mapping[str, torch.Tensor]]:
    """What each text encoder gives of its own token ids, by part; `ids` are those of all, int64 [n, max_length]."""
    own = zip(spec.text_encoders, ids.split(list(spec.tokens.values()), dim=1), strict=True)
    return {part: encoders[part](of_part.contiguous()) for part, of_part in own}


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

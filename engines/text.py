"""Token ids to conditioning: each text encoder reads its own ids, and the family puts what they give together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from engines.conditioning import Conditioning
from engines.models import families
from engines.pipeline_spec import PipelineSpec

#: Token ids of one tokenizer -> the outputs of its text encoder by name.
Encoder = Callable[[torch.Tensor], Mapping[str, torch.Tensor]]


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

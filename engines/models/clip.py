"""The text encoders that families share: CLIP with and without its projection, and T5; and their tokenizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from engines.checkpoint import settings
from engines.models.family import Part, Tokens

CLIP = Part("transformers", "CLIPTextModel", settings.TEXT_ENCODER, "CLIPTextConfig")
PROJECTED_CLIP = Part("transformers", "CLIPTextModelWithProjection", settings.TEXT_ENCODER, "CLIPTextConfig")
T5 = Part("transformers", "T5EncoderModel", settings.T5, "T5Config")
CLIP_TOKENS = Tokens(("CLIPTokenizer", "CLIPTokenizerFast"), settings.TOKENIZER)


def t5_tokens(length: int, optional: bool = False) -> Tokens:
    """T5's tokenizer, of which a pipeline keeps so many tokens."""
    return Tokens(
        ("T5Tokenizer", "T5TokenizerFast"), settings.TOKENIZER_T5, length, optional, ("eos_token", "pad_token")
    )


def penultimate(encoder: Any, ids: Tensor, pooled: bool = True) -> dict[str, Tensor]:
    """The embeddings before the last layer, float32 [n, tokens, dimensions], and the pooled one, [n, dimensions]."""
    out = encoder(ids, output_hidden_states=True)
    text = out.hidden_states[-2].float()
    return {"text": text, "pooled": out[0].float()} if pooled else {"text": text}


def side_by_side(outputs: Mapping[str, Mapping[str, Tensor]], name: str) -> Tensor:
    """One output of all encoders that give it, joined along its last axis."""
    return torch.cat([out[name] for out in outputs.values() if name in out], dim=-1)

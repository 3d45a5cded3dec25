"""The tokenizer of a pipeline folder, and prompts to token ids as diffusers' pipelines make them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from engines.bundle import Bundle
from engines.checkpoint import settings
from engines.checkpoint.folder import read_json, reason
from engines.checkpoint.settings import check_settings
from engines.checkpoint.skeleton import TOKENIZERS
from engines.errors import EngineError
from engines.private_copy import private_copy
from engines.silence import quiet

#: Tokens without which no prompt is encoded; some versions of transformers fail on them when the tokenizer is opened.
NEEDED = ("bos_token", "eos_token", "pad_token")
NAME_THEM = f"name {' and '.join(NEEDED)} in tokenizer_config.json, as the model's own tokenizer has them"
LISTS = ("vocab.json", "merges.txt")


def open_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder: of the class that its pipeline names, or the fast one where only that can read it.

    Parameters
    ----------
    folder
        Of the pipeline, or a bundle.

    Raises
    ------
    EngineError
        A file is missing or damaged, or a setting is not followed here.
    """
    from transformers import CLIPTokenizer, CLIPTokenizerFast

    place = folder / "tokenizer"
    path = place / "tokenizer_config.json"
    config = read_json(path)
    check_settings(path, config, settings.TOKENIZER)
    named = config.get("tokenizer_class") or TOKENIZERS[0]
    if named not in TOKENIZERS:
        raise EngineError(f"{place} is a {named}; expected one of {', '.join(TOKENIZERS)}")
    if without := [name for name in NEEDED if name in config and config[name] is None]:
        raise EngineError(f"{place} makes no token ids of a prompt without {' and '.join(without)}: {NAME_THEM}")
    try:
        with quiet():
            return (CLIPTokenizerFast if is_fast(folder) else CLIPTokenizer).from_pretrained(place)
    except Exception as error:  # whatever transformers makes of damaged files
        raise EngineError(f"{place} cannot be opened ({reason(error)}): copy or download it again") from error


def bundle_tokenizer(bundle: Bundle) -> Any:
    """The tokenizer of a bundle, from a private copy. Raises as `Bundle.verify`."""
    files = [a for a in bundle.find("config") if a.path.startswith("tokenizer/") or a.path == "model_index.json"]
    with private_copy(bundle, files) as folder:
        return open_tokenizer(folder)


def is_fast(folder: Path) -> bool:
    """Whether the tokenizer of a folder is the one that is read from `tokenizer.json`."""
    place = folder / "tokenizer"
    if all((place / name).is_file() for name in LISTS):
        return bool(read_json(folder / "model_index.json")["tokenizer"][1] == TOKENIZERS[1])
    if (place / "tokenizer.json").is_file():
        return True
    raise EngineError(f"{place} has neither {' and '.join(LISTS)} nor tokenizer.json: copy or download it again")


def check_tokenizer(folder: Path, tokenizer: Any, max_positions: int, embeddings: int) -> None:
    """Refuse a tokenizer that gives other than its text encoder takes.

    Parameters
    ----------
    max_positions, embeddings
        Tokens of a prompt, and different tokens, that the text encoder knows.

    Raises
    ------
    EngineError
        Names what does not fit.
    """
    from transformers.tokenization_utils_base import VERY_LARGE_INTEGER  # of a model_max_length that is left out

    place = folder / "tokenizer"
    length = tokenizer.model_max_length
    if isinstance(length, bool) or not isinstance(length, int) or not 3 <= length <= max_positions:
        got = "nothing" if length == VERY_LARGE_INTEGER else repr(length)
        raise EngineError(
            f"{place} has {got} for model_max_length, the tokens of a prompt; expected a whole number from 3 to the "
            f"{max_positions} that the text encoder takes: set it to {max_positions} in tokenizer_config.json"
        )
    vocabulary = tokenizer.get_vocab()
    if beyond := sorted((number, token) for token, number in vocabulary.items() if number >= embeddings):
        raise EngineError(
            f"{place} has {len(beyond)} tokens that the text encoder has no embedding for ({beyond[0][1]!r} is number "
            f"{beyond[0][0]} of {embeddings}): save the text encoder again after "
            f"resize_token_embeddings({beyond[-1][0] + 1}), with the embeddings that were learnt"
        )
    try:
        token_ids(tokenizer, ["", "a"], length)
    except Exception as error:  # whatever transformers makes of special tokens that are not there
        raise EngineError(f"{place} makes no token ids of a prompt ({reason(error)}): {NAME_THEM}") from error


def token_counts(tokenizer: Any, prompts: Sequence[str]) -> list[int]:
    """The tokens of each prompt before it is cut, start and end included."""
    texts = [with_all_vectors(tokenizer, text) for text in prompts]
    return [len(ids) for ids in tokenizer(texts, truncation=False, verbose=False).input_ids] if texts else []


def token_ids(tokenizer: Any, prompts: Sequence[str], length: int) -> torch.Tensor:
    """Token ids of prompts, int64 [n, length]; longer prompts are cut, as CLIP does."""
    texts = [with_all_vectors(tokenizer, text) for text in prompts]
    ids: torch.Tensor = tokenizer(
        texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def with_all_vectors(tokenizer: Any, prompt: str) -> str:
    """A prompt in which a learnt word of several vectors stands with all of them: `<word> <word>_1 <word>_2`.

    Textual inversion in diffusers adds a token for each vector, and diffusers' pipelines write them out like this.
    """
    added = tokenizer.added_tokens_encoder
    several = [token for token in added if f"{token}_1" in added]
    if not several:
        return prompt
    tokens = set(tokenizer.tokenize(prompt))
    for token in [token for token in several if token in tokens]:
        vectors, number = [token], 1
        while f"{token}_{number}" in added:
            vectors.append(f"{token}_{number}")
            number += 1
        prompt = prompt.replace(token, " ".join(vectors))
    return prompt

"""The tokenizer of a pipeline folder, and prompts to token ids as diffusers' pipelines make them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import torch

from engines.bundle import Bundle
from engines.checkpoint.folder import read_json, reason
from engines.checkpoint.settings import check_settings
from engines.checkpoint.skeleton import INDEX, read_family
from engines.errors import EngineError
from engines.private_copy import private_copy
from engines.silence import quiet

LISTS = ("vocab.json", "merges.txt")
FEW = 8  # tokens of a trial
FRAME = 2  # tokens that start and end a prompt


def open_tokenizer(folder: Path, name: str = "tokenizer") -> Any:
    """A tokenizer in a folder: of the class that its pipeline names, or the fast one where only that can read it.

    Parameters
    ----------
    folder
        Of the pipeline, or a bundle.
    name
        Of the tokenizer's own folder.

    Raises
    ------
    EngineError
        A file is missing or damaged, or a setting is not followed here.
    """
    import transformers

    place, known = folder / name, read_family(folder).tokenizers[name]
    path = place / "tokenizer_config.json"
    config = read_json(path)
    check_settings(path, config, known.settings)
    named = config.get("tokenizer_class") or known.kinds[0]
    if named not in known.kinds:
        raise EngineError(f"{place} is a {named}; expected one of {', '.join(known.kinds)}")
    if without := [one for one in known.needed if one in config and config[one] is None]:
        raise EngineError(
            f"{place} makes no token ids of a prompt without {' and '.join(without)}: {_name_them(known.needed)}"
        )
    kind = known.kinds[is_fast(folder, name)]
    try:
        with quiet():
            return getattr(transformers, kind).from_pretrained(place)
    except Exception as error:  # whatever transformers makes of damaged files
        raise EngineError(f"{place} cannot be opened ({reason(error)}): copy or download it again") from error


def bundle_tokenizers(bundle: Bundle) -> dict[str, Any]:
    """The tokenizers of a bundle by name, from private copies. Raises as `Bundle.verify`."""
    names = bundle.manifest.spec.tokens
    read = (*(f"{name}/" for name in names), INDEX)
    with private_copy(bundle, [a for a in bundle.find("config") if a.path.startswith(read)]) as folder:
        return {name: open_tokenizer(folder, name) for name in names}


def is_fast(folder: Path, name: str = "tokenizer") -> bool:
    """Whether a tokenizer of a folder is the one that is read from `tokenizer.json`."""
    place, kinds = folder / name, read_family(folder).tokenizers[name].kinds
    if all((place / one).is_file() for one in LISTS):
        return bool(read_json(folder / INDEX)[name][1] == kinds[1])
    if (place / "tokenizer.json").is_file():
        return True
    if (place / "spiece.model").is_file():
        raise EngineError(
            f"{place} has spiece.model and no tokenizer.json: where the package sentencepiece is, "
            f"`{kinds[1]}.from_pretrained(...).save_pretrained(...)` writes it"
        )
    raise EngineError(f"{place} has neither {' and '.join(LISTS)} nor tokenizer.json: copy or download it again")


def tokens_of(folder: Path, name: str, tokenizer: Any) -> int:
    """The tokens of a prompt that a pipeline keeps: those of its family, or as many as the tokenizer says."""
    own: int = tokenizer.model_max_length
    return read_family(folder).tokenizers[name].length or own


def _name_them(needed: Sequence[str]) -> str:
    return f"name {' and '.join(needed)} in tokenizer_config.json, as the model's own tokenizer has them"


def check_tokenizer(place: Path, tokenizer: Any, max_positions: int | None, embeddings: int) -> None:
    """Refuse a tokenizer that gives other than its text encoder takes.

    Parameters
    ----------
    place
        Its folder.
    max_positions, embeddings
        Tokens of a prompt, and different tokens, that the text encoder knows; None where it takes any number.

    Raises
    ------
    EngineError
        Names what does not fit.
    """
    from transformers.tokenization_utils_base import VERY_LARGE_INTEGER  # of a model_max_length that is left out

    length = tokenizer.model_max_length
    if max_positions is None:
        length = FEW
    elif isinstance(length, bool) or not isinstance(length, int) or not 3 <= length <= max_positions:
        got = "nothing" if length == VERY_LARGE_INTEGER else repr(length)
        raise EngineError(
            f"{place} has {got} for model_max_length, the tokens of a prompt; expected a whole number from 3 to the "
            f"{max_positions} that the text encoder takes: set it to {max_positions} in tokenizer_config.json"
        )
    needed = read_family(place.parent).tokenizers[place.name].needed
    vocabulary = tokenizer.get_vocab()
    if beyond := sorted((number, token) for token, number in vocabulary.items() if number >= embeddings):
        raise EngineError(
            f"{place} has {len(beyond)} tokens that the text encoder has no embedding for ({beyond[0][1]!r} is number "
            f"{beyond[0][0]} of {embeddings}): save the text encoder again after "
            f"resize_token_embeddings({beyond[-1][0] + 1}), with the embeddings that were learnt"
        )
    if max_positions is not None:
        refuse_long_words(place, tokenizer, length)
    try:
        token_ids(tokenizer, ["", "a"], length)
    except Exception as error:  # whatever transformers makes of special tokens that are not there
        raise EngineError(f"{place} makes no token ids of a prompt ({reason(error)}): {_name_them(needed)}") from error


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
    several = words_of_several_vectors(tokenizer)
    tokens = set(tokenizer.tokenize(prompt)) if several else set()
    for token, vectors in several.items():
        if token in tokens:
            prompt = prompt.replace(token, " ".join(vectors))
    return prompt


def words_of_several_vectors(tokenizer: Any) -> dict[str, list[str]]:
    """The learnt words of more than one vector, each with the tokens of all its vectors."""
    added = tokenizer.added_tokens_encoder
    return {
        token: [token, *takewhile(added.__contains__, (f"{token}_{number}" for number in count(1)))]
        for token in added
        if f"{token}_1" in added
    }


def refuse_long_words(what: object, tokenizer: Any, length: int) -> None:
    """Refuse learnt words that a prompt has no room for, so that some of their vectors would always be cut off.

    Parameters
    ----------
    what
        What has them, for the message.
    length
        Tokens of a prompt, among them one that starts it and one that ends it.

    Raises
    ------
    EngineError
        Names the word.
    """
    for word, vectors in words_of_several_vectors(tokenizer).items():
        if len(vectors) > length - FRAME:
            raise EngineError(
                f"{what}: the word {word!r} has {len(vectors)} vectors, and a prompt has room for {length - FRAME}: "
                "learn it again with fewer"
            )

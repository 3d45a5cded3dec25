"""Learnt words (textual inversion): added to the tokenizers of a pipeline folder and to its text encoders' tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from engines.adapters.files import AdapterFile
from engines.checkpoint.folder import read_json
from engines.checkpoint.skeleton import parts_of, tokenizers_of
from engines.checkpoint.tokenizer import open_tokenizer, refuse_long_words, tokens_of, with_all_vectors
from engines.checkpoint.weights import read_weights, write_weights
from engines.errors import EngineError

#: The key of A1111's files: the word is the file's name.
UNNAMED = ("emb_params", "*", "string_to_param.*")
#: The keys of files for two text encoders, by the encoder.
SEVERAL = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
TABLES = ("text_model.embeddings.token_embedding.weight", "shared.weight")


def vectors_of(file: AdapterFile, encoders: Sequence[str]) -> tuple[str, dict[str, torch.Tensor]]:
    """The word of a file, and its vectors, float32 [n, width], by text encoder.

    Parameters
    ----------
    encoders
        The text encoders of the pipeline that read words of CLIP.

    Raises
    ------
    EngineError
        The file is in no format of learnt words, or has vectors for other text encoders.
    """
    keys = set(file.tensors)
    several = keys & set(SEVERAL.values())
    if not several and len(keys) > 1:
        raise EngineError(
            f"{file.path} holds {len(keys)} tensors ({', '.join(sorted(keys)[:3])} ...); expected learnt words: one "
            f"tensor under its word, emb_params, or {' and '.join(SEVERAL.values())}"
        )
    expected = {SEVERAL[e]: e for e in encoders} if len(encoders) > 1 else dict.fromkeys(keys - several, encoders[0])
    if keys != set(expected):
        got = " and ".join(sorted(keys))
        raise EngineError(
            f"{file.path} holds vectors of {got}; this pipeline has {len(encoders)} text encoder"
            f"{'s that read words' if len(encoders) > 1 else ''} and expects "
            f"{' and '.join(expected) if len(encoders) > 1 else 'one tensor'}: it is for another architecture"
        )
    key = next(iter(keys))
    word = file.path.stem if several or key in UNNAMED else key
    vectors = {part: torch.atleast_2d(file.tensors[key].float()) for key, part in expected.items()}
    if any(value.ndim != 2 or not value.numel() for value in vectors.values()):
        raise EngineError(f"{file.path}: vectors are {[list(v.shape) for v in vectors.values()]}; expected [n, width]")
    if len({len(value) for value in vectors.values()}) > 1:
        got = ", ".join(f"{len(value)} for {part}" for part, value in vectors.items())
        raise EngineError(
            f"{file.path} has different numbers of vectors for the text encoders ({got}); expected equally many, as "
            "they are the tokens of one word: it is damaged, or of two trainings; copy it again"
        )
    return word, vectors


def add_word(folder: Path, file: AdapterFile) -> str:
    """Add the word of a file to a pipeline folder, whose parts may be links; gives the word.

    Raises
    ------
    EngineError
        The file does not fit, or the word is known already.
    """
    pairs = dict(zip([p for p in parts_of(folder) if p.startswith("text_encoder")], tokenizers_of(folder), strict=True))
    readers = [part for part in pairs if part in SEVERAL and read_table(folder, part) == TABLES[0]]
    if not readers:
        raise EngineError(f"{file.path}: this pipeline has no CLIP text encoder, which learnt words are of")
    word, vectors = vectors_of(file, readers)
    tokens = [word, *(f"{word}_{number}" for number in range(1, len(next(iter(vectors.values())))))]
    for part, rows in vectors.items():
        tokenizer = _with_tokens(open_tokenizer(folder, pairs[part]), file, word, tokens)
        refuse_long_words(file.path, tokenizer, tokens_of(folder, pairs[part], tokenizer))
        weights = read_weights(folder, part)
        table, config = weights[TABLES[0]], read_json(folder / part / "config.json")
        if rows.shape[1] != table.shape[1]:
            raise EngineError(
                f"{file.path}: its vectors have {rows.shape[1]} numbers, and the table of {part} has {table.shape[1]}: "
                "it was learnt for another architecture"
            )
        numbers = tokenizer.convert_tokens_to_ids(tokens)
        more = torch.zeros(max(0, max(numbers) + 1 - len(table)), table.shape[1], dtype=torch.float32)
        weights[TABLES[0]] = torch.cat([table.float(), more])
        weights[TABLES[0]][numbers] = rows
        _own_copy(folder, part)
        config["vocab_size"] = len(weights[TABLES[0]])
        write_weights(folder, part, weights)
        (folder / part / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        _own_copy(folder, pairs[part])
        tokenizer.save_pretrained(folder / pairs[part])
    return word


def read_table(folder: Path, part: str) -> str:
    """The name of a text encoder's table of tokens."""
    return TABLES["T5" in str(read_json(folder / part / "config.json").get("architectures"))]


def _with_tokens(tokenizer: Any, file: AdapterFile, word: str, tokens: list[str]) -> Any:
    """The tokenizer with a word of one token a vector."""
    known = tokenizer.get_vocab()
    if taken := [token for token in [*tokens, f"{word}_{len(tokens)}"] if token in known]:
        raise EngineError(
            f"{file.path}: the tokenizer knows {taken[0]!r} already; rename the file, or the word in it, to a new word"
        )
    tokenizer.add_tokens(tokens)
    if (got := tokenizer.tokenize(with_all_vectors(tokenizer, word))) != tokens:
        raise EngineError(f"{file.path}: the word {word!r} is read as {got}; expected {tokens}: choose another word")
    return tokenizer


def _own_copy(folder: Path, part: str) -> None:
    """An empty folder of a part in place of the link or folder that was there."""
    (folder / part).unlink() if (folder / part).is_symlink() else shutil.rmtree(folder / part)
    (folder / part).mkdir()

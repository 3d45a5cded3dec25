"""The engine's calls: shapes checked, prompts encoded once."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
import torch

import engines
from engines import Bundle, load
from engines.conditioning import chosen, joined
from engines.errors import EngineError


def test_each_distinct_prompt_is_encoded_once(bundle: Bundle) -> None:
    """The cache changes nothing but time."""
    engine = load(bundle.folder)
    ids = engine.tokenize(["a", "b", "a", "", "b"])
    encoded = []
    text = engine.calls.text
    engine.calls = replace(engine.calls, text=lambda x: encoded.append(len(x)) or text(x))  # type: ignore[func-returns-value]
    first, again = engine.encode_tokens(ids), engine.encode_tokens(ids[[2, 1]])
    assert len(encoded) == 1
    torch.testing.assert_close(again, chosen(first, slice(2)), rtol=0, atol=0)
    torch.testing.assert_close(load(bundle.folder).encode_text(["a", "b", "a", "", "b"]), first)


def test_a_long_run_of_other_prompts_keeps_the_last_of_them(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a prompt for every image the cache must not grow with the run; one call may be larger than the cache."""
    monkeypatch.setattr("engines.engine.TEXTS_KEPT", 3)
    engine = load(bundle.folder)
    ids = engine.tokenize(list("abcdefghij"))
    together = engine.encode_tokens(ids)
    one_by_one = joined([engine.encode_tokens(row[None]) for row in ids])
    torch.testing.assert_close(one_by_one, together, rtol=0, atol=0)
    assert len(engine._texts) == 3


def test_shapes_and_types_are_checked(bundle: Bundle) -> None:
    engine = load(bundle.folder)
    words, times = {"text": torch.zeros(1, 16, 32)}, torch.zeros(1)
    with pytest.raises(EngineError, match=r"latents must be torch.float32 \[rows, 4, 8, 8\].*\[1, 9, 8, 8\]"):
        engine.denoise(torch.zeros(1, 9, 8, 8), times, words)
    with pytest.raises(EngineError, match="equal rows"):
        engine.denoise(torch.zeros(2, 4, 8, 8), times, words)
    with pytest.raises(EngineError, match=r"conditioning must be \['text'\], got \['pooled', 'text'\]"):
        engine.denoise(torch.zeros(1, 4, 8, 8), times, words | {"pooled": torch.zeros(1, 32)})
    with pytest.raises(EngineError, match=r"conditioning text must be torch.float32 \[rows, 16, 32\]"):
        engine.denoise(torch.zeros(1, 4, 8, 8), times, {"text": torch.zeros(1, 8, 32)})
    with pytest.raises(EngineError, match=r"images must be torch\.uint8"):
        engine.encode(torch.zeros(1, 64, 64, 3))
    with pytest.raises(EngineError, match="token ids must be int64"):
        engine.encode_tokens(torch.zeros(1, 3, dtype=torch.int64))


def test_no_rows_give_no_rows(bundle: Bundle) -> None:
    engine = load(bundle.folder)
    words = {"text": torch.zeros(0, 16, 32)}
    assert engine.denoise(torch.zeros(0, 4, 8, 8), torch.zeros(0), words).shape == (0, 4, 8, 8)
    assert engine.decode(torch.zeros(0, 4, 8, 8)).shape == (0, 64, 64, 3)
    assert engine.encode_text([])["text"].shape == (0, 16, 32)


@pytest.mark.parametrize("documented", [engines.Engine, engines.load])
def test_the_examples_run(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, documented: object) -> None:
    """The examples of the docstrings, in a folder that holds the bundle they open."""
    (found,) = doctest.DocTestFinder(recurse=False).find(documented, globs={})
    assert found.examples
    monkeypatch.chdir(bundle.folder.parent)
    assert doctest.DocTestRunner().run(found).failed == 0

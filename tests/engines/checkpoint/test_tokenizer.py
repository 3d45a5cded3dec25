"""Prompts become the token ids that diffusers' pipelines make of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline
from diffusers.loaders import TextualInversionLoaderMixin
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer, CLIPTokenizerFast

from engines.checkpoint.tokenizer import open_tokenizer, token_ids, with_all_vectors
from engines.errors import EngineError
from engines.pipeline_spec import read_spec

WORDS = ["<d>", "<d>_1", "<d>_2", "<e>"]


@pytest.fixture(scope="module")
def learnt(model: Path) -> CLIPTokenizer:
    tokenizer = CLIPTokenizer.from_pretrained(model / "tokenizer")
    tokenizer.add_tokens(WORDS)
    return tokenizer


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["<d>", "<e>", "a", "skin of", ",", "<d>,"]), max_size=5).map(" ".join))
def test_words_of_several_vectors_are_written_out_as_by_diffusers(learnt: CLIPTokenizer, prompt: str) -> None:
    theirs = TextualInversionLoaderMixin().maybe_convert_prompt(prompt, learnt)
    assert with_all_vectors(learnt, prompt) == theirs


def test_a_word_of_several_vectors_takes_as_many_tokens(learnt: CLIPTokenizer) -> None:
    ids = token_ids(learnt, ["a <d> b"], 16)[0].tolist()
    assert [number for number in ids if number >= learnt.vocab_size] == learnt.convert_tokens_to_ids(WORDS[:3])


def test_a_fast_tokenizer_alone_is_read(folder: Path) -> None:
    place, prompts = folder / "tokenizer", ["An image of plaque, dark skin", "", "a" * 40]
    slow = token_ids(open_tokenizer(folder), prompts, 16)
    fast = CLIPTokenizerFast.from_pretrained(place)
    shutil.rmtree(place)
    fast.save_pretrained(place)
    for name in ("vocab.json", "merges.txt"):
        (place / name).unlink(missing_ok=True)
    opened = open_tokenizer(folder)
    assert isinstance(opened, CLIPTokenizerFast)
    assert token_ids(opened, prompts, 16).equal(slow)
    read_spec(folder)
    (place / "tokenizer.json").unlink()
    with pytest.raises(EngineError, match=r"neither vocab.json and merges.txt nor tokenizer.json") as refused:
        read_spec(folder)
    assert str(refused.value).count("copy or download it again") == 1


def test_the_class_that_the_pipeline_names_is_opened(folder: Path, edit: Callable[..., None]) -> None:
    edit("model_index.json", tokenizer=["transformers", "CLIPTokenizerFast"])
    theirs = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None).tokenizer
    assert type(open_tokenizer(folder)) is type(theirs)


def test_words_without_an_embedding_are_refused(folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    rows = len(tokenizer)
    tokenizer.add_tokens(["<derm>"])
    tokenizer.save_pretrained(folder / "tokenizer")
    with pytest.raises(
        EngineError, match=rf"'<derm>' is number {rows} of {rows}.*resize_token_embeddings\({rows + 1}\)"
    ):
        read_spec(folder)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"model_max_length": 77}, "has 77 for model_max_length, .* from 3 to the 16 that the text encoder takes"),
        ({"model_max_length": None}, "has nothing for model_max_length"),
        ({"model_max_length": "16"}, "has '16' for model_max_length"),
        ({"model_max_length": 16.0}, "has 16.0 for model_max_length"),
        ({"model_max_length": 2}, "has 2 for model_max_length"),
        ({"model_max_length": -3}, "has -3 for model_max_length"),
        ({"pad_token": None}, "makes no token ids of a prompt .* pad_token in tokenizer_config.json"),
        ({"bos_token": None}, "makes no token ids of a prompt .*name bos_token"),
        ({"tokenizer_class": "T5Tokenizer"}, "is a T5Tokenizer"),
        ({"padding_side": "left"}, "padding_side = 'left'"),
        ({"invented": True}, "invented = True"),
    ],
)
def test_settings_that_are_not_followed_are_refused(
    folder: Path, edit: Callable[..., None], values: dict[str, object], word: str
) -> None:
    edit("tokenizer/tokenizer_config.json", **values)
    with pytest.raises(EngineError, match=word):
        read_spec(folder)


def test_a_damaged_vocabulary_is_refused(folder: Path) -> None:
    for path in (folder / "tokenizer").glob("*.json"):  # transformers 5 writes tokenizer.json and no lists
        if path.name in ("vocab.json", "tokenizer.json"):
            path.write_text(json.dumps(["a"]))
    with pytest.raises(EngineError, match="tokenizer cannot be opened"):
        read_spec(folder)

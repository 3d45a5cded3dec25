"""The built-in pipeline's prompts."""

from __future__ import annotations

from gen.builtin.data import CELLS
from gen.builtin.model import MAX_LENGTH, new_tokenizer, prompt_for


def test_every_prompt_fits_and_is_told_from_the_others() -> None:
    tokenizer = new_tokenizer()
    for cls, group in CELLS:
        tokens = tokenizer.tokenize(prompt_for(cls, group))
        assert len(tokens) + 2 <= MAX_LENGTH, tokens
        assert tokenizer.unk_token not in tokens
    ids = [tuple(tokenizer(prompt_for(c, g)).input_ids) for c, g in CELLS]
    assert len(set(ids)) == len(CELLS)

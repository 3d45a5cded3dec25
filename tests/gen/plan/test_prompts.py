"""Prompts: filled from the template or refused, and named when the tokenizer would cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from gen.builtin.model import new_tokenizer, prompt_for
from gen.plan import prompts


def test_a_template_is_filled_as_the_paper_wrote_it() -> None:
    assert prompts.render(prompts.PAPER, "lichen_planus", None) == "An image of lichen planus, a skin disease"
    assert prompts.render(prompts.PAPER_WITH_GROUP, "psoriasis", "5").endswith("Fitzpatrick skin type 5")


def test_the_phantoms_prompts_are_those_they_were_trained_with() -> None:
    filled = prompts.render("An image of {class}, {group} skin", "plaque", "very_light")
    assert filled == prompt_for("plaque", "very_light")


@pytest.mark.parametrize(
    ("template", "group", "word"),
    [
        ("{colour}", None, "colour"),
        ("{group}", None, "without one"),
        ("{class", None, "is not valid"),
        ("{}", None, "names"),
    ],
)
def test_a_bad_template_is_one_line(template: str, group: str | None, word: str) -> None:
    with pytest.raises(UserError, match=word):
        prompts.render(template, "plaque", group)


@given(
    parts=st.lists(st.sampled_from(["{class}", "{group}", "{fst}", "skin of ", " and ", "<{class}>"]), min_size=1),
    group=st.sampled_from(["I", "VI", "very_light", "5"]),
)
def test_a_prompt_names_the_skin_type_or_is_refused(parts: list[str], group: str) -> None:
    """No image is labelled by a skin type that its prompt does not name."""
    try:
        filled = prompts.render("".join(parts), "plaque", group)
    except UserError:
        assert not {"{group}", "{fst}"} & set(parts)
        filled = prompts.render("".join(parts), "plaque", group, one_for_all=True)
        assert filled == prompts.render("".join(parts), "plaque", None)
    else:
        assert group.replace("_", " ") in filled


def test_prompts_past_the_tokenizers_length_are_named_with_their_length() -> None:
    tokenizer = new_tokenizer()
    fits, long = prompt_for("plaque", "dark"), "an image of " * 6
    assert prompts.too_long([fits, long, long], tokenizer, 16) == [(long, 20)]


def test_a_prompt_that_just_fits_is_not_called_too_long() -> None:
    tokenizer = new_tokenizer()
    ((_, n),) = prompts.too_long(["An image of a plaque"], tokenizer, 0)
    assert prompts.too_long(["An image of a plaque"], tokenizer, n) == []
    assert prompts.too_long(["An image of a plaque"], tokenizer, n - 1) == [("An image of a plaque", n)]


def test_all_vectors_of_a_learnt_word_are_counted() -> None:
    tokenizer = new_tokenizer()
    tokenizer.add_tokens(["<d>", "<d>_1", "<d>_2"])
    ((_, n),) = prompts.too_long(["An image of <d>"], tokenizer, 0)
    assert n == len(tokenizer("An image of").input_ids) + 3

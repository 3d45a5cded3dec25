"""Prompts: templates filled with class and skin type, and those that a tokenizer would cut."""

from __future__ import annotations

from collections.abc import Iterable
from string import Formatter
from typing import Any

from dermforge.common.errors import UserError

#: Sagers et al. 2023, without and with the skin type.
PAPER = "An image of {class}, a skin disease"
PAPER_WITH_GROUP = "An image of {class}, a skin disease, Fitzpatrick skin type {fst}"
FIELDS = ("class", "group", "fst")
#: What the paper's prompts say of an image whose skin type is missing, where other images have one.
UNKNOWN = "unknown"


def template_for(groups: object) -> str:
    """The template when neither the user nor the pipeline names one."""
    return PAPER_WITH_GROUP if groups else PAPER


def render(template: str, label: str, group: str | None, one_for_all: bool = False) -> str:
    """A prompt from a template with {class} and {group} (or {fst}); underscores in them become spaces.

    Parameters
    ----------
    one_for_all
        Accept a template that does not name the skin type although there is one.

    Raises
    ------
    UserError
        The template has another field, it needs a skin type and there is none, or there is one and it does not name it:
        the image would carry a label that nobody asked the model for.
    """
    words = {"class": label, "group": group, "fst": group}
    named = names_skin_type(template)
    if group is None and named:
        raise UserError(
            f"the prompt template {template!r} names the skin type, and class {label!r} is asked "
            "for without one; give groups or another template"
        )
    if group is not None and not one_for_all and not named:
        raise UserError(
            f"the prompt template {template!r} does not name the skin type, and class {label!r} is asked for as "
            f"{group!r}: all skin types would be drawn alike and labelled as different; add {{fst}} to the template, "
            "leave out the skin types, or ask for one prompt for all of them (`one_prompt_for_all`)"
        )
    return template.format(**{k: v.replace("_", " ") for k, v in words.items() if v is not None})


def names_skin_type(template: str) -> bool:
    """Whether a template has a place for the skin type.

    Raises
    ------
    UserError
        It is not a template, or it has a field other than {class}, {group} and {fst}.
    """
    try:
        fields = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise UserError(f"the prompt template {template!r} is not valid ({error}); write {{class}}") from error
    if unknown := sorted(fields - set(FIELDS)):
        expected = "{class}, {group} or {fst}"
        raise UserError(f"the prompt template names {{{unknown[0]}}}; expected {expected}")
    return bool(fields & {"group", "fst"})


def too_long(prompts: Iterable[str], tokenizer: Any, limit: int) -> list[tuple[str, int]]:
    """The prompts that a tokenizer would cut, with their number of tokens (start and end included).

    Parameters
    ----------
    tokenizer
        As `engines.checkpoint.tokenizer.open_tokenizer` opens it.
    limit
        Tokens that the text encoder takes, 77 for Stable Diffusion.
    """
    from engines.checkpoint.tokenizer import token_counts

    distinct = sorted(set(prompts))
    return [(text, n) for text, n in zip(distinct, token_counts(tokenizer, distinct), strict=True) if n > limit]

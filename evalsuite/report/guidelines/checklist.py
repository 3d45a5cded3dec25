"""A guideline as data: items with their published numbers, in our words, and the topics that answer each of them.

Guidelines ask for the same things in other words, so what answers a question stands once, as a topic: the facts that
fill it, the facts that help the author, what the author must write, and when it does not apply.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dermforge.common.errors import UserError, first_line
from evalsuite.report.guidelines.names import Guideline

TOPICS = "topics"
Text = Annotated[str, Field(min_length=1)]
T = TypeVar("T")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Topic(_Part):
    """One thing that guidelines ask for.

    Attributes
    ----------
    filled_by
        Facts (`facts.FACTS`) that answer it, all of them together; none: no artefact can.
    helped_by
        Facts that the author can use and that do not answer it.
    write
        What the author must write where they do not fill it.
    not_applicable
        Conditions (`not_applicable.CONDITIONS`), any of which takes it away.
    """

    filled_by: tuple[str, ...] = ()
    helped_by: tuple[str, ...] = ()
    write: Text
    not_applicable: tuple[str, ...] = ()


class Item(_Part):
    """One item: its number as published, its section, what it asks for in our words, and its topics."""

    number: Text
    section: Text
    asks: Text
    topics: tuple[str, ...] = Field(min_length=1)


class Checklist(_Part):
    """A guideline.

    Attributes
    ----------
    main_items
        How many items the publication counts, where parts of an item (18a, 18b) have rows of their own.
    numbering
        How the numbers were checked, and what is not known of them.
    compliance
        What is known of published studies, and how it differs from our count.
    """

    title: Text
    cite: Text
    doi: Text
    about: Text
    main_items: int = Field(ge=1)
    numbering: Text
    compliance: str = ""
    item: tuple[Item, ...] = Field(min_length=1)


def read_checklist(name: Guideline) -> Checklist:
    """A guideline by its name."""
    return _read(name, TypeAdapter(Checklist))


def read_topics() -> Mapping[str, Topic]:
    """What answers the items of all guidelines, by name."""
    return _read(TOPICS, TypeAdapter(dict[str, Topic]))


def _read(name: str, kind: TypeAdapter[T]) -> T:
    path = files("evalsuite.report.guidelines") / "checklists" / f"{name}.toml"
    try:
        return kind.validate_python(tomllib.loads(path.read_text("utf-8")))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"the checklist {name}.toml cannot be read: {first_line(error)}") from error

"""The checklists as data: every published number once, and nothing that is named and not there."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

import pytest

from evalsuite.report.guidelines.checklist import TOPICS, read_checklist, read_topics
from evalsuite.report.guidelines.facts import FACTS
from evalsuite.report.guidelines.names import GUIDELINES, Guideline
from evalsuite.report.guidelines.not_applicable import CONDITIONS
from evalsuite.report.guidelines.references import references

#: As published: items with parts have letters.
TRIPOD = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab", 27: "abc"}
MI_CLAIM_GEN = {"1": 6, "2": 4, "3-4": 4, "5": 5, "6": 4}
STARD = {15: "abcd", 16: "abc", 17: "ab", 26: "ab", 40: "ab"}


def numbers(last: int, parts: dict[int, str]) -> list[str]:
    return [f"{n}{letter}" for n in range(1, last + 1) for letter in parts.get(n, "") or [""]]


PUBLISHED: dict[Guideline, list[str]] = {
    "claim2024": numbers(44, {}),
    "tripod-ai": numbers(27, TRIPOD),
    "stard-ai": numbers(40, STARD),
    "mi-claim-gen": [
        f"{part}.{n}" for part, rows in (("1", 6), ("2", 4), ("3-4", 4), ("5", 5), ("6", 4)) for n in range(1, rows + 1)
    ],
    "clear-derm": numbers(25, {}),
    "fda-7c": [f"C{n}" for n in range(1, 8)],
}


@pytest.mark.parametrize("name", GUIDELINES)
def test_the_items_have_the_published_numbers_in_their_order(name: Guideline) -> None:
    found = read_checklist(name)
    assert [item.number for item in found.item] == PUBLISHED[name]
    assert len(dict.fromkeys(re.sub("(?<=[0-9])[a-z]$", "", item.number) for item in found.item)) == found.main_items
    assert re.fullmatch(r"10\.\d{4,}/\S+", found.doi)
    assert references([found.cite])[0].place == found.doi


def test_the_rows_are_as_many_as_the_publications_count() -> None:
    counts = {name: len(read_checklist(name).item) for name in GUIDELINES}
    assert (counts["tripod-ai"], counts["stard-ai"], counts["claim2024"], counts["clear-derm"]) == (52, 48, 44, 25)


def test_a_guideline_says_how_its_numbers_were_checked() -> None:
    """What is from memory is said to be."""
    assert "from memory" in read_checklist("clear-derm").numbering
    assert "does not number" in read_checklist("mi-claim-gen").numbering
    assert "no numbers" in read_checklist("fda-7c").numbering


def test_topics_name_facts_and_conditions_that_there_are_and_each_is_used() -> None:
    """A name that nobody uses would be a fact that nobody reads."""
    topics = read_topics()
    named = {topic for name in GUIDELINES for item in read_checklist(name).item for topic in item.topics}
    assert named == set(topics)
    assert {fact for t in topics.values() for fact in (*t.filled_by, *t.helped_by)} == set(FACTS)
    assert {condition for t in topics.values() for condition in t.not_applicable} == set(CONDITIONS)


def test_no_topic_is_written_twice() -> None:
    """TOML would refuse the second; a topic in two words would be two prompts for one thing."""
    text = (files("evalsuite.report.guidelines") / "checklists" / f"{TOPICS}.toml").read_text("utf-8")
    prompts = [topic["write"] for topic in tomllib.loads(text).values()]
    assert len(set(prompts)) == len(prompts)

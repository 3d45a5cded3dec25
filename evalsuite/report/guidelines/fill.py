"""What a guideline's items come to: filled from the artefacts, the author's to write, or not applicable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.checklist import Checklist, Item, Topic, read_checklist, read_topics
from evalsuite.report.guidelines.fact import Fact
from evalsuite.report.guidelines.facts import FACTS
from evalsuite.report.guidelines.names import Guideline
from evalsuite.report.guidelines.not_applicable import CONDITIONS

Status = Literal["filled", "author must write", "not applicable"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class FilledItem:
    """An item and what is known of it.

    Attributes
    ----------
    facts
        What the artefacts say: the answer of a filled item, else what the author can use.
    write
        What the author must write; none where the item is filled or does not apply.
    reasons
        Why the item, or a part of it, does not apply.
    """

    item: Item
    status: Status
    facts: tuple[Fact, ...]
    write: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class FilledChecklist:
    """A guideline with every item judged, in the published order."""

    name: Guideline
    checklist: Checklist
    items: tuple[FilledItem, ...]

    def count(self, status: Status) -> int:
        return sum(one.status == status for one in self.items)

    @property
    def share_filled(self) -> float:
        """Of all items, whether they apply or not."""
        return self.count("filled") / len(self.items)

    @property
    def started(self) -> int:
        """Items that are the author's and for which the artefacts have something to use."""
        return sum(one.status == "author must write" and bool(one.facts) for one in self.items)

    def sentence(self) -> str:
        """The count, which calls no prompted item filled."""
        filled, write, apart = (self.count(status) for status in STATUSES)
        return (
            f"{filled} of {len(self.items)} items filled from the artefacts ({self.share_filled:.0%}), {write} for the "
            f"author to write, {apart} not applicable to this study."
        )


def fill(name: Guideline, found: Artefacts) -> FilledChecklist:
    """Judge every item of a guideline by the artefacts."""
    checklist, topics = read_checklist(name), read_topics()
    facts = {key: fact(found) for key, fact in FACTS.items()}
    reasons = {key: condition(found) for key, condition in CONDITIONS.items()}
    items = tuple(_judged(item, [_topic(topics[t], facts, reasons) for t in item.topics]) for item in checklist.item)
    return FilledChecklist(name, checklist, items)


@dataclass(frozen=True)
class _Judged:
    facts: tuple[Fact, ...] = ()
    write: str = ""
    reason: str = ""


def _topic(topic: Topic, facts: Mapping[str, Fact | None], reasons: Mapping[str, str | None]) -> _Judged:
    """A topic that its facts fill is filled, also where a condition would take it away."""
    answers = [facts[name] for name in topic.filled_by]
    known = tuple(fact for fact in (*answers, *(facts[name] for name in topic.helped_by)) if fact is not None)
    if answers and None not in answers:
        return _Judged(known)
    reason = next((reasons[name] for name in topic.not_applicable if reasons[name]), None)
    return _Judged(reason=reason) if reason else _Judged(known, topic.write)


def _judged(item: Item, topics: list[_Judged]) -> FilledItem:
    """An item is filled where each of its topics is, or does not apply; it does not apply where none of them does."""
    write = tuple(dict.fromkeys(t.write for t in topics if t.write))
    reasons = tuple(dict.fromkeys(t.reason for t in topics if t.reason))
    facts = tuple(dict.fromkeys(fact for t in topics for fact in t.facts))
    status: Status = "filled"
    if write:
        status = "author must write"
    elif all(t.reason for t in topics):
        status = "not applicable"
    return FilledItem(item, status, facts, write, reasons)

"""A judged guideline on a page: the count, what is left to write, every item, the methods paragraph and its sources."""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.page.blocks import Answer, Block, Bullets, Cell, Report, Section, Table
from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.fill import FilledChecklist, FilledItem
from evalsuite.report.guidelines.methods_text import Sentence
from evalsuite.report.guidelines.references import Reference


def report(
    filled: FilledChecklist, found: Artefacts, paragraph: Sequence[Sentence], references: Sequence[Reference]
) -> Report:
    """All sections of a checklist."""
    sections = [
        Section("What the author must write", _to_write(filled)),
        *(Section(name, [_table(items)]) for name, items in by_section(filled)),
        Section("Methods paragraph", [methods_words(paragraph)]),
        Section("Works that it cites", [_references(references)]),
        Section("This guideline", _about(filled)),
    ]
    leakage = found.trial.study.leakage if found.trial else ()
    return Report(filled.checklist.title, _answer(filled), sections, leakage, found.notes, _classifier(found))


def by_section(filled: FilledChecklist) -> list[tuple[str, list[FilledItem]]]:
    """Items by the guideline's own sections, in its order."""
    names = dict.fromkeys(one.item.section for one in filled.items)
    return [(name, [one for one in filled.items if one.item.section == name]) for name in names]


def answer_text(one: FilledItem) -> str:
    """What an item comes to: what to write first, then what the artefacts say, then what does not apply."""
    known = " ".join(fact.text for fact in one.facts)
    if one.write and known:
        known = f"From the artefacts: {known}"
    return " ".join(part for part in (*one.write, known, *one.reasons) if part)


def sources(one: FilledItem) -> list[str]:
    """Where the facts of an item are from, each once."""
    return list(dict.fromkeys(fact.source for fact in one.facts))


def methods_words(paragraph: Sequence[Sentence]) -> str:
    """The methods paragraph with its keys in brackets."""
    keys = [f" [{', '.join(s.cites)}]" if s.cites else "" for s in paragraph]
    return " ".join(f"{s.text}{cited}." for s, cited in zip(paragraph, keys, strict=True))


def _answer(filled: FilledChecklist) -> Answer:
    write = filled.count("author must write")
    numbers = [
        ("filled from the artefacts", f"{filled.share_filled:.0%}", f"{filled.count('filled')} of {len(filled.items)}"),
        ("author must write", str(write), f"{filled.started} with something from the artefacts"),
        ("not applicable", str(filled.count("not applicable")), "each with its reason"),
    ]
    details = [
        "An item is filled only where the artefacts answer all of it. What the author must write is named item by "
        "item, and is not counted as reported.",
        f"Filled, or named with what to write: {filled.count('filled') + write} of the "
        f"{len(filled.items) - filled.count('not applicable')} items that apply.",
        *([filled.checklist.compliance] if filled.checklist.compliance else []),
    ]
    return Answer(filled.sentence(), numbers, details)


def _to_write(filled: FilledChecklist) -> list[Block]:
    said = [f"{one.item.number}: {' '.join(one.write)}" for one in filled.items if one.write]
    return [Bullets(said)] if said else ["Nothing: every item is filled or does not apply."]


def _table(items: Sequence[FilledItem]) -> Table:
    rows = [
        (
            one.item.number,
            one.item.asks,
            Cell(one.status, bold=one.status == "author must write"),
            answer_text(one),
            Cell("; ".join(sources(one))),
        )
        for one in items
    ]
    return Table(("item", "asks for", "status", "what there is, and what to write", "read from"), rows)


def _references(references: Sequence[Reference]) -> Table:
    return Table(("key", "title", "doi or address"), [(r.key, r.title, r.place) for r in references])


def _about(filled: FilledChecklist) -> list[Block]:
    of = filled.checklist
    return [of.about, f"Source: {of.title}, doi {of.doi}.", f"Numbers: {of.numbering}"]


def _classifier(found: Artefacts) -> str:
    return found.trial.study.design.recipe.summary() if found.trial else ""

"""A judged guideline and the methods paragraph as Markdown, with other people's words as they are."""

from __future__ import annotations

from collections.abc import Sequence

from dermforge.common.markdown import escaped, table
from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.checklist_page import answer_text, sources
from evalsuite.report.guidelines.fill import FilledChecklist
from evalsuite.report.guidelines.methods_text import Sentence


def checklist_markdown(filled: FilledChecklist, found: Artefacts) -> str:
    """The count, the notes and a table with a row for each item."""
    of = filled.checklist
    leaks = found.trial.study.leakage if found.trial else []
    head = ("Item", "Section", "Asks for", "Status", "What there is, and what to write", "Read from")
    rows = [
        (one.item.number, one.item.section, one.item.asks, one.status, answer_text(one), "; ".join(sources(one)))
        for one in filled.items
    ]
    notes = [f"**Leakage was allowed; these results must not be read as evidence:** {escaped(text)}" for text in leaks]
    notes += [escaped(text) for text in (*found.notes, of.compliance) if text]
    return "\n\n".join(
        [
            f"# {escaped(of.title)}",
            escaped(filled.sentence()),
            *notes,
            table(head, [[escaped(cell) for cell in row] for row in rows]),
            f"Source: doi {escaped(of.doi)}. Numbers: {escaped(of.numbering)}\n",
        ]
    )


def methods_markdown(paragraph: Sequence[Sentence]) -> str:
    """The methods paragraph, with citations as pandoc takes them."""
    said = [f"{escaped(s.text)}{_cited(s.cites)}." for s in paragraph]
    return "# Methods\n\n" + " ".join(said) + "\n"


def _cited(keys: Sequence[str]) -> str:
    return f" [{'; '.join(f'@{key}' for key in keys)}]" if keys else ""

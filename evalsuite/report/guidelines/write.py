"""The files of a checklist: a page, a Markdown table and JSON for each guideline, one methods paragraph, one BibTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dermforge.common.as_json import document
from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from evalsuite.page.render import PAGE, page
from evalsuite.report.guidelines import checklist_page
from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.fill import STATUSES, FilledChecklist, fill
from evalsuite.report.guidelines.markdown import checklist_markdown, methods_markdown
from evalsuite.report.guidelines.methods_text import paragraph
from evalsuite.report.guidelines.names import Guideline
from evalsuite.report.guidelines.references import bibtex, references

METHODS, BIBTEX = "methods.md", "references.bib"


def place(folders: Sequence[Path], trials: Sequence[Path], out: Path | None) -> Path:
    """Where to write: what is given, else the run or study. Nothing is written into a bundle, a check or images.

    Raises
    ------
    UserError
        Neither is there, or the folder is a stranger's.
    """
    if out is None and not trials:
        raise UserError(f"none of {', '.join(map(str, folders))} is a run or a study to write into; give `folder`")
    chosen = trials[0] if out is None else out
    if chosen.resolve() not in [trial.resolve() for trial in trials]:
        claim(chosen, "a checklist", [METHODS, PAGE])
    return chosen


def write(guidelines: Sequence[Guideline], found: Artefacts, out: Path) -> list[FilledChecklist]:
    """Fill the guidelines and write all files; returns them filled."""
    said = paragraph(found, guidelines)
    cited = references({key for sentence in said for key in sentence.cites})
    filled = [fill(name, found) for name in guidelines]
    out.mkdir(parents=True, exist_ok=True)
    for one in filled:
        html = page([checklist_page.report(one, found, said, cited)])
        write_whole(out / f"{one.name}.html", html.encode())
        write_whole(out / f"{one.name}.md", checklist_markdown(one, found).encode())
        write_whole(out / f"{one.name}.json", document(_record(one, found)).encode())
    write_whole(out / BIBTEX, bibtex(cited).encode())
    write_whole(out / METHODS, methods_markdown(said).encode())
    return filled


def counts(one: FilledChecklist) -> dict[str, float]:
    """How many items there are of each status, and the share that is filled."""
    by_status = {status.replace(" ", "_"): one.count(status) for status in STATUSES}
    return {"items": len(one.items), **by_status, "share_filled": one.share_filled}


def _record(one: FilledChecklist, found: Artefacts) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "guideline": one.name,
        "title": one.checklist.title,
        "doi": one.checklist.doi,
        "numbering": one.checklist.numbering,
        "counts": counts(one),
        "notes": found.notes,
        "leakage": found.trial.study.leakage if found.trial else [],
        "items": [
            {
                "number": judged.item.number,
                "section": judged.item.section,
                "asks": judged.item.asks,
                "status": judged.status,
                "facts": judged.facts,
                "write": judged.write,
                "reasons": judged.reasons,
            }
            for judged in one.items
        ],
    }

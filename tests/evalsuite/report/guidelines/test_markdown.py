"""Other people's words in Markdown: shown as they are, by a parser of CommonMark."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.checklist import Checklist, Item
from evalsuite.report.guidelines.fact import Fact
from evalsuite.report.guidelines.fill import FilledChecklist, FilledItem
from evalsuite.report.guidelines.markdown import checklist_markdown, methods_markdown
from evalsuite.report.guidelines.methods_text import Sentence

PARSER = MarkdownIt("commonmark").enable("table")
TEXTS = st.text(st.characters(exclude_categories=["C", "Zs", "Zl", "Zp"]) | st.just(" "), min_size=1, max_size=30)
NASTY = "<script>alert(1)</script> a|b [x](http://y) `c` *d* &lt; ![i](j) \\| $e$ @f"


@given(TEXTS)
@example(NASTY)
@example("-")
def test_a_class_name_cannot_add_a_row_or_a_tag(text: str) -> None:
    item = Item(number="1", section="s", asks="a", topics=("t",))
    of = Checklist(title="T", cite="c", doi="10.1/x", about="a", main_items=1, numbering="n", item=(item,))
    judged = FilledItem(item, "filled", (Fact(f"classes {text}\n| new | row |", text),), (), ())
    page = PARSER.render(checklist_markdown(FilledChecklist("claim2024", of, (judged,)), Artefacts(notes=(text,))))
    assert page.count("<tr>") == 2
    assert page.count("<td>") == 6
    assert set(re.findall(r"</?([a-z0-9]+)", page)) == {"h1", "p", "table", "thead", "tbody", "tr", "th", "td"}


def test_citations_are_pandocs() -> None:
    said = methods_markdown([Sentence("Shares of [@all] have intervals", ("wilson1927", "holm1979")), Sentence("So")])
    assert said == "# Methods\n\nShares of \\[\\@all\\] have intervals [@wilson1927; @holm1979]. So.\n"

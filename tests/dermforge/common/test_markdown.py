"""Other people's words in Markdown, by a parser of CommonMark with tables."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dermforge.common.markdown import escaped, table

PARSER = MarkdownIt("commonmark").enable("table")
TEXTS = st.text(st.characters(exclude_categories=["C", "Zs", "Zl", "Zp"]) | st.just(" "), min_size=1, max_size=30)
#: Texts that begin as blocks of Markdown do.
BLOCKS = st.builds(
    lambda first, then: first + then,
    st.sampled_from(
        ["-", "- ", "---", "+ ", "* ", "1. ", "12)", "# ", "> ", "===", "```", "~~~", "| - |", "<b>", "    "]
    ),
    TEXTS | st.just(""),
)
NASTY = "<script>alert(1)</script> a|b [x](http://y) `c` *d* &lt; ![i](j) \\| $e$ @f"


@given(TEXTS | BLOCKS)
@example(NASTY)
@example("-")
@example("1.")
@example("- - -")
def test_a_text_is_a_paragraph_that_shows_it(text: str) -> None:
    shown = PARSER.render(escaped(text))
    words = " ".join(text.split())
    assert html.unescape(shown) == (f"<p>{words}</p>\n" if words else "")
    assert re.findall(r"</?(\w+)", shown) == (["p", "p"] if words else [])


@given(TEXTS | BLOCKS)
@example(NASTY)
@example("a|b")
def test_a_cell_shows_the_text_and_nothing_else(text: str) -> None:
    shown = PARSER.render(table(["h", "i"], [[escaped(text), "end"]]))
    cells = re.findall(r"<td>(.*?)</td>", shown, re.DOTALL)
    assert [html.unescape(cell) for cell in cells] == [" ".join(text.split()), "end"]


@pytest.mark.parametrize("text", ["-0.6 points (-1.2 to +0.1)", "0.62 of 1.5", "a.b.c", "pair-free"])
def test_numbers_and_words_stay_readable(text: str) -> None:
    assert escaped(text) == text

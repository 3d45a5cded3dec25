"""The page: no network, everything escaped, the leak in red, a text for every picture."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from evalsuite.report.methods import limits
from evalsuite.report.page import Fragment, Picture, Plot, Report, Section, Table, Verdict, render

EVIL = '<script>alert("x")</script>'


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def page(**changes: object) -> str:
    blocks = [EVIL, Table(("a", EVIL), [(EVIL, "1")], EVIL), Picture(b"png", EVIL, EVIL),
              Plot("<svg role='img'><title>t</title></svg>"), Fragment("<h3>card</h3>")]
    made = Report(**{"title": EVIL, "verdict": Verdict(EVIL, [(EVIL, EVIL, EVIL)], [EVIL]),
                     "sections": [Section(f"Section {EVIL}", blocks)], **changes})  # type: ignore[arg-type]
    return render([made, made], "dermforge 0")


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(html)
    return parser.tags


def test_user_text_never_becomes_markup() -> None:
    """Class names, ids and prompts come from files that others wrote."""
    html = page(leakage=[EVIL], notes=[EVIL])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 10
    assert {tag for tag, _ in tags(html)}.isdisjoint({"script", "iframe", "object", "link"})


def test_the_page_asks_the_network_for_nothing() -> None:
    """It is mailed, archived and read offline."""
    html = page()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", html)
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_allowed_leakage_stands_in_red_before_the_verdict() -> None:
    """Nobody may read the result without the warning."""
    html = page(leakage=["12 test images are in the lineage"])
    assert html.index("12 test images") < html.index('class="answer"')
    assert 'class="leak"' in html
    assert 'class="leak"' not in page()


def test_pictures_have_alternative_text_and_ids_are_unique() -> None:
    """For screen readers; and the links of two reports on one page must not meet."""
    found = tags(page())
    assert all(a.get("alt") for tag, a in found if tag == "img")
    ids = [a["id"] for _, a in found if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for tag, a in found if tag == "a"} <= set(ids)


def test_limits_say_what_phantoms_are() -> None:
    """A drawing must not be taken for a patient."""
    assert "not patients" in limits(phantoms=True)[0]
    assert len(limits(phantoms=False)) == len(limits(phantoms=True)) - 1

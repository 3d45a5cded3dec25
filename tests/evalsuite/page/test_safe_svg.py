"""Of a plot only shapes and text reach a page, whatever the file that holds it says."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_helpers import call

from dermforge.common.errors import DataWarning, UserError
from evalsuite.page import curves, render
from evalsuite.page.safe_svg import safe_svg

NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:h="http://www.w3.org/1999/xhtml"'
#: Each with a word that must not be left.
ATTACKS = {
    "<script>alert(1)</script>": "alert",
    '<h:script src="https://evil.example/x.js"/>': "evil",
    '<h:meta http-equiv="refresh" content="0;url=https://evil.example"/>': "evil",
    '<h:form action="https://evil.example"><h:input name="password"/></h:form>': "password",
    '<a xlink:href="javascript:alert(1)"><text>click</text></a>': "javascript",
    '<use xlink:href="https://evil.example/x.svg#a"/>': "evil",
    '<use href="data:image/svg+xml;base64,AAAA"/>': "base64",
    '<g onload="alert(1)"/>': "alert",
    '<foreignObject><h:iframe src="https://evil.example"/></foreignObject>': "evil",
    '<image xlink:href="https://evil.example/pixel.png"/>': "evil",
    "<style>@import url(https://evil.example/x.css);</style>": "evil",
    "<style>body {display: none}</style>": "display",
    '<rect style="fill: url(https://evil.example/x)"/>': "evil",
    '<rect style="fill: red; position: fixed"/>': "position",
    '<rect fill="url(&#104;ttps://evil.example)"/>': "evil",
    '<animate attributeName="href" to="javascript:alert(1)"/>': "javascript",
    '<set attributeName="onmouseover" to="alert(1)"/>': "alert",
}


def plot(inside: str = "") -> str:
    return f"<svg {NAMES}><g>{inside}<text>kept</text></g></svg>"


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_but_shapes_and_text_is_left(attack: str) -> None:
    with pytest.warns(DataWarning, match="left out"):
        clean = safe_svg(plot(attack))
    assert ATTACKS[attack] not in clean
    assert "kept" in clean
    ElementTree.fromstring(clean)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<svg><script>alert(1)</script>",
        '<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
        plot("<g>" * 100_000 + "</g>" * 100_000),
        plot() + "<script>alert(1)</script>",
        "",
    ],
    ids=["other", "open", "entities", "deep", "two", "nothing"],
)
def test_what_is_no_plot_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="run the command that drew the plot again"):
        safe_svg(text)


def test_text_stays_text() -> None:
    """Names in a plot that look like markup are shown, not run."""
    clean = safe_svg(plot("<title>&lt;script&gt;alert(1)&lt;/script&gt;</title>"))
    assert "&lt;script&gt;" in clean
    assert "<script" not in clean


def test_a_plot_of_our_own_passes_whole() -> None:
    """Every element, attribute and word of a drawn plot is there again."""
    line = curves.Curve("<b>&", [(x, 0.5 + x / 20, 0.4, 0.8) for x in (0, 1, 2)])
    drawn = curves.plot_curves([line], title="dose", x_label="x", y_label="y", marks=[(2, "saturation")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean = safe_svg(drawn)
    before, after = (
        [(e.tag, sorted(e.attrib.items()), e.text) for e in ElementTree.fromstring(text).iter()]
        for text in (drawn, clean)
    )
    assert before == after


def test_a_section_from_a_file_cannot_run_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`evalsuite report` of a section that somebody changed: the page has the plot, and the command says what went."""
    block = {"svg": plot("".join(ATTACKS)), "caption": "<script>caption()</script>"}
    section = {"title": "t", "verdict": "v", "status": "good", "shown": {"privacy": [block]}}
    (tmp_path / "section.json").write_text(json.dumps(section))
    assert call(f"evalsuite report {tmp_path} --out {tmp_path / 'out'}") == 0
    page = (tmp_path / "out" / render.PAGE).read_text()
    assert "kept" in page
    assert "<script" not in page
    assert not [word for word in ATTACKS.values() if word in page.partition("<svg")[2]]
    assert "it was left out" in " ".join(capsys.readouterr().err.split())

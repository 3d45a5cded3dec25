"""The page: no network, everything escaped, the leak in red, a text for every picture."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Browser

from evalsuite.fairness.compare_models import Change, Comparison
from evalsuite.images.quality import quality_report as quality
from evalsuite.images.tone.tone_report import cell_table, tone_section
from evalsuite.page.page import Fragment, Picture, Plot, Report, Section, Table, Verdict, render
from evalsuite.report import images_report
from evalsuite.report.datasheet import data_sheet
from evalsuite.report.methods import limits
from evalsuite.report.run_report import who_moved
from shards import Sample, ShardSetWriter, encode_image

EVIL = '<script>alert("x")</script>'


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def page(**changes: object) -> str:
    blocks = [
        EVIL,
        Table(("a", EVIL), [(EVIL, "1")], EVIL),
        Picture(b"png", EVIL, EVIL),
        Plot("<svg role='img'><title>t</title></svg>"),
        Fragment("<h3>card</h3>"),
    ]
    made = Report(
        **{
            "title": EVIL,
            "verdict": Verdict(EVIL, [(EVIL, EVIL, EVIL)], [EVIL]),
            "sections": [Section(f"Section {EVIL}", blocks)],
            **changes,
        }
    )  # type: ignore[arg-type]
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


def test_the_data_sheet_names_the_settings_of_every_strategy(phantom_shards: Path, tmp_path: Path) -> None:
    """Inpainted images are made otherwise than drawn ones; a sheet that shows one setting for all is wrong."""
    png = encode_image(np.zeros((16, 16, 3), np.uint8), "png")
    made, kept = {"origin": "synthetic", "label": "plaque", "group": "tan"}, {"classes": ("plaque",), "fsync": False}
    for number, digest in enumerate("ab"):  # two plans in one folder
        with ShardSetWriter(tmp_path, f"s{number}", plan_digest=digest * 64, **kept) as writer:
            writer.add(
                Sample(id=f"drawn{number}", strategy="text-to-image", steps=20, negative_prompt="", **made), png, "png"
            )
            writer.add(Sample(id=f"inpainted{number}", strategy="inpaint", steps=30, strength=0.8, **made), png, "png")
    sheet = {table.caption: table for table in data_sheet(phantom_shards, [tmp_path])}
    facts = dict(sheet[f"Synthetic images: {tmp_path}"].rows)
    assert facts["plan sha256"] == f"{'a' * 64}, {'b' * 64}"
    assert facts["strategies"] == "inpaint (2), text-to-image (2)"
    settings = sheet["Settings of the generator"]
    assert list(settings.head) == ["first image of each strategy", "text-to-image", "inpaint"]
    assert [list(row) for row in settings.rows] == [["steps", "20", "30"], ["strength", "", "0.8"]]


def test_who_gained_is_said_only_where_it_stands_among_all_groups() -> None:
    """An interval that leaves out 0 is not enough: one of six groups does so by chance more often than 1 time in 20."""

    def change(group: str, difference: float, p: float, p_holm: float) -> Change:
        return Change(
            "fst",
            group,
            200,
            True,
            0.6,
            0.6 + difference,
            difference,
            difference - 0.05,
            difference + 0.05,
            p,
            p_holm,
            False,
            0.08,
        )

    def told(*changes: Change) -> str:
        return " ".join(who_moved(Comparison("a", "b", "accuracy", 0.02, changes, (), False), "fst"))

    by_chance, sure, worse = change("II", 0.06, 0.035, 0.175), change("V", 0.11, 0.006, 0.037), change("I", -0.2, 0, 0)
    assert "Gained beyond chance (Holm): V." in told(by_chance, sure)
    assert "Lost beyond chance (Holm): I." in told(by_chance, worse)
    assert "No single skin type gained or lost beyond chance." in told(by_chance)


def test_no_table_is_wider_than_a_printed_page(tmp_path: Path) -> None:
    """A4 less its margins is 673 px wide; what lies beyond is cut off. Tables of all five parts, at their widest."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    groups = ("very_light", "intermediate", "dark")
    name = "vit_base_patch14_reg4_dinov2.lvd142m@0a1b2c3d"
    long = [(-0.000123, -0.0319, 0.0345), (123.4, 120.5, 126.7)]
    cells = pd.DataFrame(
        [
            {
                "family": family,
                "cell": cell,
                "metric": f"{kind}[{name}]",
                "value": v,
                "low": low,
                "high": high,
                "n": n,
                "note": "covariance is rank-deficient: 36 samples, 768 features",
                "extractor": name,
            }
            for family, cell in [
                ("overall", "all"),
                ("class", "hidradenitis suppurativa"),
                *(("group", g) for g in groups),
            ]
            for kind in (
                "KD",
                "FD",
                "MMD",
                "precision",
                "density",
                "recall",
                "coverage",
                "Vendi, real",
                "Vendi, synthetic",
            )
            for (v, low, high), n in zip(long, (36, 1224), strict=True)
        ]
    )
    utility = cells.assign(metric=[f"real or synthetic [{name}]" for _ in cells["metric"]])
    angles = pd.DataFrame(
        {
            "id": [f"i{k}" for k in range(36)],
            "class": "plaque",
            "group": np.repeat(groups, 12),
            "strategy": "inpaint-outpaint",
            "parent": None,
            "cluster": None,
            "ita": np.linspace(-50, 60, 36),
            "lesion_contrast": 9.5,
            "shading": 4.25,
            "requested": np.repeat([0.0, 2.0, 5.0], 12),
            "steps_off": 1.0,
            "degrees_off": -12.5,
        }
    )
    parts = [quality._section(cells, utility), tone_section(angles, cell_table(angles, angles, resamples=20))]
    (tmp_path / "report.html").write_text(render([images_report.report(parts)], "a test"))
    browser = Browser(tmp_path / "profile")
    try:
        browser.call("Emulation.setEmulatedMedia", media="print")
        browser.call("Emulation.setDeviceMetricsOverride", width=673, height=900, deviceScaleFactor=1, mobile=False)
        browser.call("Page.navigate", url=(tmp_path / "report.html").as_uri())
        browser.wait("document.readyState === 'complete' && document.querySelectorAll('table').length > 0")
        right = "[...document.querySelectorAll('table,svg')].map(e => Math.ceil(e.getBoundingClientRect().right))"
        assert max(browser.value(right)) <= 673
    finally:
        browser.close()

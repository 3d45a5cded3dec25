"""The page: no network, all text escaped, the leak in red, a text for every picture."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from evalsuite import selfcheck
from evalsuite.fairness import label_noise
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compare_models import compare
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.predictions import Predictions, from_frame
from evalsuite.page.blocks import Answer, Block, Bullets, Cell, Heading, Picture, Plot, Report, Section, Table
from evalsuite.page.image_check import ImageCheck, frame_table, thumbnails
from evalsuite.page.render import fragment, page
from evalsuite.page.svg import as_svg
from evalsuite.report import fairness_report, images_report
from evalsuite.report.datasheet import data_sheet, sheet
from evalsuite.selfcheck import Group
from shards import Sample, ShardSetWriter, encode_image

EVIL = '<script>alert("x")</script>'


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def report(**changes: object) -> Report:
    blocks: list[Block] = [
        EVIL,
        Heading(EVIL),
        Bullets([EVIL]),
        Table(("a", EVIL), [(EVIL, Cell(EVIL, [EVIL], bold=True))], EVIL),
        Picture(b"png", EVIL, EVIL),
        thumbnails([(b"jpeg", EVIL)], 6, EVIL),
        Plot(as_svg(Figure(), EVIL, EVIL), EVIL),
    ]
    whole = {
        "title": EVIL,
        "answer": Answer(EVIL, [(EVIL, EVIL, EVIL)], [EVIL]),
        "sections": [Section(f"Section {EVIL}", blocks)],
        **changes,
    }
    return Report(**whole)  # type: ignore[arg-type]


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(html)
    return parser.tags


def assert_harmless(html: str) -> None:
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "&amp;lt;" not in html  # escaped once, not twice
    assert {tag for tag, _ in tags(html)}.isdisjoint({"script", "iframe", "object", "link"})


def test_no_text_of_a_block_becomes_markup() -> None:
    made = report(leakage=[EVIL], notes=[EVIL])
    assert_harmless(page([made, made]))
    assert_harmless(fragment(made.sections[0].blocks))


def evil_predictions(seed: int, accuracy: float) -> Predictions:
    """Classes, groups, group columns, ids, patients and the file's name: all that a table brings in."""
    frame = selfcheck.table([Group("I", 60, accuracy), Group(EVIL, 60, 0.9)], seed).to_frame()
    frame = frame.rename(columns={"prob_nodule": f"prob_{EVIL}", "fst": f"fst {EVIL}"})
    frame["label"] = frame["label"].replace("nodule", EVIL)
    frame["id"] = [f"{EVIL}{i}" for i in range(len(frame))]
    frame["cluster"] = [f"{EVIL}{i // 2}" for i in range(len(frame))]
    frame["other"] = np.where(np.arange(len(frame)) % 3 == 0, EVIL, "b")
    return from_frame(frame, groups=[f"fst {EVIL}", "other"], source=f"{EVIL}.csv")


def test_no_text_of_a_table_of_predictions_becomes_markup() -> None:
    """They come from files that others wrote. The second rater is the first, with half of the labels moved."""
    column, before, after = f"fst {EVIL}", evil_predictions(0, 0.9), evil_predictions(1, 0.6)
    before = before.with_group("b", before.groups[column].where(np.arange(before.n) % 4 != 0, "I").to_numpy(str))
    card = compute_card(before, [column, "other"], CardSettings())
    after = Predictions(before.ids, before.classes, before.labels, after.probs, before.groups, None, before.source)
    compared = compare(before, after, [column], CardSettings())
    raters = label_noise.check(before, [column, "b"], CardSettings(), n_relabel=20)
    assert_harmless(page([fairness_report.report(card, before, compared, raters)]))


def test_no_text_of_shards_or_measurements_becomes_markup(phantom_shards: Path, tmp_path: Path) -> None:
    """Classes, groups, prompts and folders of images, and what a measurement that was kept as JSON says."""
    folder, png = tmp_path / "<b>", encode_image(np.zeros((16, 16, 3), np.uint8), "png")
    with ShardSetWriter(folder, "s", classes=(EVIL,)) as writer:
        writer.add(Sample(id="a", label=EVIL, group=EVIL, strategy=EVIL, prompt=EVIL, origin="synthetic"), png, "png")
    picture = sheet([folder])
    assert picture is not None
    html = page([report(sections=[Section("s", [picture, *data_sheet(phantom_shards, [folder])])])])
    assert_harmless(html)
    assert "<b>" not in html
    frame = pd.DataFrame({EVIL: [EVIL, None], "x": [np.nan, 0.5]})
    measured = ImageCheck(EVIL, EVIL, "bad", {"fidelity": [frame_table(frame, EVIL)]})
    assert measured.shown["fidelity"][0].rows[0][1] == "not enough data"  # type: ignore[union-attr]
    assert_harmless(page([images_report.report([measured])]))


def test_the_page_asks_the_network_for_nothing() -> None:
    """It is mailed, archived and read offline."""
    html = page([report()])
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", html)
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_allowed_leakage_stands_in_red_before_the_answer() -> None:
    """Nobody may read the result without the warning."""
    html = page([report(leakage=["12 test images are in the lineage"])])
    assert html.index("12 test images") < html.index('class="answer"')
    assert 'class="leak"' in html
    assert 'class="leak"' not in page([report()])


def test_pictures_have_alternative_text_and_ids_are_unique() -> None:
    """For screen readers; and the links of two reports on one page must not meet."""
    found = tags(page([report(), report()]))
    assert all(a.get("alt") for tag, a in found if tag == "img")
    ids = [a["id"] for _, a in found if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for tag, a in found if tag == "a"} <= set(ids)

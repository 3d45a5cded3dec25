"""`evalsuite report` takes in what the image commands left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermforge.common.errors import UserError
from evalsuite.commands.filter import filter_images
from evalsuite.commands.privacy import privacy
from evalsuite.commands.quality import quality
from evalsuite.commands.report import report
from evalsuite.commands.tone import tone
from evalsuite.page.image_check import AXES


def test_the_report_takes_all_in_under_five_headings(sets: dict[str, Path], tmp_path: Path) -> None:
    """From the folders that the commands left behind to one page; a damaged part is named."""
    made, folders = sets["synthetic"], [tmp_path / name for name in ("quality", "tone", "privacy", "filter")]
    quality(sets["validation"], made, folders[0], ["colour-structure"], resamples=10, as_json=True)
    tone(made, folders[1], sets["validation"], as_json=True)
    privacy(sets["train"], made, sets["validation"], folders[2], control=1, as_json=True)
    filter_images(made, sets["train"], sets["validation"], folders[3], extractor="colour-structure", as_json=True)
    report(folders, tmp_path / "page", as_json=True)
    html = (tmp_path / "page" / "report.html").read_text()
    places = [html.index(f"<h2>{axis.capitalize()}</h2>") for axis in AXES]
    assert places == sorted(places)
    assert "Not measured" not in html
    for shown in ("Positive control", "Share of copies by skin type", "Rejected share of each skin type", "Vendi"):
        assert shown in html
    (folders[1] / "section.json").write_text('{"title": "Skin tone"}')
    with pytest.raises(UserError, match="not a report section") as error:
        report(folders, tmp_path / "page", as_json=True)
    assert "\n" not in str(error.value)

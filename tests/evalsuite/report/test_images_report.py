"""What was measured on the images, on one page: five axes, and tables that fit a printed page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Browser

from evalsuite.images.privacy.audit_report import reidentification_shown
from evalsuite.images.quality import quality_report as quality
from evalsuite.images.quality.alignment import KINDS
from evalsuite.images.tone.find_skin import TOO_LITTLE, UNEVEN
from evalsuite.images.tone.measure_ita import NOT_SKIN_COLOUR
from evalsuite.images.tone.tone_report import ToneReport, tone_section
from evalsuite.images.tone.tone_table import cell_table
from evalsuite.page.image_check import ImageCheck, frame_table
from evalsuite.page.render import page
from evalsuite.report import images_report


def test_the_report_has_five_axes_and_says_what_was_not_measured() -> None:
    """Fidelity, diversity, utility, privacy and fairness: a gap must not look like a pass."""
    copies = ImageCheck("Copies", "none", "good", {"privacy": [frame_table(pd.DataFrame({"n": [1]}), "rates")]})
    tone = ImageCheck(
        "Tone", "off", "bad", {axis: [frame_table(pd.DataFrame(), "t")] for axis in ("fairness", "fidelity")}
    )
    made = images_report.report([tone, copies])
    assert [s.title for s in made.sections] == ["Fidelity", "Diversity", "Utility", "Privacy", "Fairness"]
    assert [s.blocks[0] for s in made.sections if len(s.blocks) > 1] == [
        "Tone: off",
        "Copies: none",
        "Tone: see Fidelity, and here:",
    ]
    assert made.answer.sentence == "1 of 2 checks are good; the others: Tone (not good)."
    alone = images_report.report([copies]).sections
    assert [len(s.blocks) for s in alone] == [1, 1, 1, 2, 1]
    assert "evalsuite tone" in str(alone[4].blocks[0])


def recognised(name: str) -> pd.DataFrame:
    """One encoder's row, with every number there."""
    text = "encoder images mean largest unseen_mean unseen_largest threshold rate low high planted one_patient"
    row: dict[str, object] = dict.fromkeys([*text.split(), "one_patient_low", "one_patient_high"], 0.98765)
    return pd.DataFrame([row | {"encoder": name, "images": 36000, "status": "bad"}])


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
    other = cells["metric"].str.replace(name, "biomedclip@0a1b2c3d")
    cells = pd.concat([cells, cells.assign(metric=other, extractor="biomedclip@0a1b2c3d")], ignore_index=True)
    utility = cells.assign(metric=[f"real or synthetic [{one}]" for one in cells["extractor"]])
    score = {"family": "class", "cell": "hidradenitis suppurativa", "extractor": name, "n": 36, "note": "too few"}
    alignment = pd.DataFrame([score | {"kind": k, "value": 1.2345, "low": 1.1234, "high": 1.3456} for k in KINDS])
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
            "not_measured": "",
            "shading": 4.25,
            "requested": np.repeat([0.0, 2.0, 5.0], 12),
            "steps_off": 1.0,
            "degrees_off": -12.5,
        }
    )
    angles.loc[:20, "not_measured"] = [NOT_SKIN_COLOUR, UNEVEN, TOO_LITTLE] * 7
    angles.loc[:20, "ita"] = np.nan
    parts = [
        quality.quality_section(quality.QualityReport(angles, cells, utility, "", "good", alignment)),
        ImageCheck("Copies", "", "good", {"privacy": [reidentification_shown(recognised(name))]}),
        tone_section(ToneReport(angles, cell_table(angles, angles, resamples=20), "", "good")),
    ]
    (tmp_path / "report.html").write_text(page([images_report.report(parts)]))
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

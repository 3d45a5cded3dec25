"""The table of encoders: what a reader needs of each is there, and nothing is promised that no code can open."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsuite.images.features.names import PRESETS, SPECS
from evalsuite.images.features.presets import TABLE, Preset, preset_named


@pytest.mark.parametrize("preset", TABLE, ids=lambda one: one.name)
def test_each_encoder_says_where_it_is_from_and_how_it_is_fed(preset: Preset) -> None:
    assert preset_named(preset.name) is preset
    assert preset.name in SPECS
    assert preset.licence
    assert preset.source.startswith("https://") or preset.source.count("/") == 1
    assert all(len(side) == 3 for side in preset.statistics)
    assert (preset.kind == "timm") == bool(preset.architecture)
    assert (
        len(preset.files) == 1 if preset.pickled else all(not name.endswith((".bin", ".pth")) for name in preset.files)
    )


def test_the_help_and_the_table_have_the_same_names() -> None:
    assert tuple(one.name for one in TABLE) == PRESETS
    assert preset_named("resnet") is None


def test_the_page_on_encoders_says_what_the_table_says() -> None:
    page = (Path(__file__).parents[4] / "docs" / "how-to" / "extractors.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| `")}
    for one in TABLE:
        assert f"| {one.licence} |" in rows[f"`{one.name}`"]
        assert one.source.startswith("https:") or one.source in rows[f"`{one.name}`"]

"""The data sheet: the settings of every strategy, and where the images came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evalsuite.report.datasheet import data_sheet
from shards import Provenance, Sample, ShardSetWriter, encode_image


def test_the_data_sheet_names_the_settings_of_every_strategy(phantom_shards: Path, tmp_path: Path) -> None:
    """Inpainted images are made otherwise than drawn ones; a sheet that shows one setting for all is wrong."""
    png = encode_image(np.zeros((16, 16, 3), np.uint8), "png")
    made: dict[str, Any] = {"origin": "synthetic", "label": "plaque", "group": "tan"}
    for number, digest in enumerate("ab"):  # two plans in one folder
        with ShardSetWriter(tmp_path, f"s{number}", provenance=Provenance(digest * 64), classes=("plaque",)) as writer:
            writer.add(
                Sample(id=f"drawn{number}", strategy="text-to-image", steps=20, negative_prompt="", **made), png, "png"
            )
            writer.add(Sample(id=f"inpainted{number}", strategy="inpaint", steps=30, strength=0.8, **made), png, "png")
    sheet = {table.caption: table for table in data_sheet(phantom_shards, [tmp_path])}
    facts = {name: value for name, value in sheet[f"Synthetic images: {tmp_path}"].rows}  # noqa: C416
    assert facts["plan sha256"] == f"{'a' * 64}, {'b' * 64}"
    assert facts["strategies"] == "inpaint (2), text-to-image (2)"
    settings = sheet["Settings of the generator"]
    assert list(settings.head) == ["first image of each strategy", "text-to-image", "inpaint"]
    assert [list(row) for row in settings.rows] == [["steps", "20", "30"], ["strength", "", "0.8"]]

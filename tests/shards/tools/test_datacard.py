"""The hub reads the card, and every number in it is that of the shards."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
from markdown_it import MarkdownIt
from shards_helpers import write_card

from dermforge.common.hub_licences import Licence
from shards import Sample, ShardSetWriter
from shards.format.images import encode_image
from shards.format.reader import ShardSet


def test_the_hub_reads_the_card(shard_set: Path) -> None:
    """The hub's own parser reads licence, size and the tars of each split."""
    from huggingface_hub import DatasetCard

    text, _ = write_card(shard_set, "--name", "Lesions")
    data = DatasetCard(text).data.to_dict()
    assert data["license"] == "cc-by-4.0"
    assert data["size_categories"] == ["n<1K"]
    assert data["configs"][0]["data_files"] == [{"split": "train", "path": [f"demo-{i:06d}.tar" for i in range(3)]}]
    assert "synthetic" in data["tags"]


def test_the_card_counts_what_is_there_and_says_what_the_model_saw(shard_set: Path) -> None:
    """Counts per class and skin type, unknown types included, the model's digest and the lineage warning."""
    text, _ = write_card(shard_set)
    assert "| macule | 3 | 1 | 4 |" in text
    assert "| plaque | 3 | 0 | 3 |" in text
    assert "a" * 64 in text
    assert "2 entries of lineage" in text
    assert "not photographs of patients" in text


def test_phantoms_are_called_phantoms(phantom_shards: Path) -> None:
    """The card says that drawings are not photographs."""
    from shards.tools.datacard import card as text_of

    text = text_of(ShardSet.open(phantom_shards / "train"), name="x", licence=Licence("mit"))
    assert "**Phantoms**" in text
    assert "How they were made" not in text


def test_a_class_and_a_prompt_stay_words(tmp_path: Path) -> None:
    """A name with signs of Markdown and HTML adds no column and no tag."""
    from shards.tools.datacard import card as text_of

    nasty = "a|b <script>alert(1)</script> `c`"
    with ShardSetWriter(tmp_path / "set", "demo", classes=(nasty,)) as writer:
        sample = Sample(id="s0", origin="synthetic", label=nasty, prompt=f"An image of {nasty}", steps=20, seed=0)
        writer.add(sample, encode_image(np.zeros((8, 8, 3), np.uint8), "png"), "png")
    text = text_of(ShardSet.open(tmp_path / "set"), name=nasty, licence=Licence("mit"))
    shown = MarkdownIt("commonmark").enable("table").render(text.split("---\n", 2)[2])
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", shown)]
    assert "<script>" not in shown
    assert cells[:3] == [nasty, "1", "1"]
    assert f"An image of {nasty}" in cells

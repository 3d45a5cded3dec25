"""Sets of images by location or open, mixed in the ratio that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import dermforge
from shards.ingest.folder import FolderSet


def test_a_set_is_opened_by_location_and_a_folder_with_its_table(phantom_shards: Path, tmp_path: Path) -> None:
    images = dermforge.open_shards(str(phantom_shards / "test"))
    assert images.n == len(images.rows) == 72
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(images.at(0)[1] if images.source(0) else b"")
    (tmp_path / "labels.csv").write_text("file,class\na.png,wart\n")
    folder = dermforge.open_shards(tmp_path / "photos", table=str(tmp_path / "labels.csv"))
    assert isinstance(folder, FolderSet)
    assert folder.classes == ["wart"]


def test_the_mix_has_the_ratio_in_every_batch_and_resumes(phantom_shards: Path) -> None:
    train = dermforge.open_shards(phantom_shards / "train")

    def stream() -> torch.utils.data.IterableDataset:
        return dermforge.mix(
            {"a": train.where(group="dark"), "b": phantom_shards / "test"},
            weights={"b": 3, "a": 1},
            global_batch=8,
            steps=3,
            seed=1,
        )

    whole = list(stream())
    assert [(batch.sources == 1).sum().item() for batch in whole] == [6, 6, 6]
    first, second = stream(), stream()
    taken = next(iter(first))
    second.load_state_dict(first.state_dict())  # type: ignore[attr-defined]
    assert [taken.ids] + [batch.ids for batch in second] == [batch.ids for batch in whole]


def test_weights_must_name_the_sources(phantom_shards: Path) -> None:
    with pytest.raises(ValueError, match="weights for real; expected one for each source: real, synthetic"):
        dermforge.mix(
            {"real": phantom_shards / "train", "synthetic": phantom_shards / "test"},
            weights={"real": 1},
            global_batch=8,
        )

"""Hugging Face's `datasets` reads every shard of a set that has a card, whatever its first samples lack."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from shards_helpers import CLASSES, items, write_card

from shards import ShardSet, write_shard
from shards.tools.hub_features import features


def loaded(folder: Path, cache: Path) -> Any:
    return pytest.importorskip("datasets").load_dataset(str(folder), cache_dir=str(cache))


def test_values_that_the_first_samples_lack_are_read(tmp_path: Path) -> None:
    """A column whose first values are missing has the type of the others: else it would be one of nulls."""
    later: dict[str, Any] = {"group": "5", "attributes": {"note": "left arm"}, "scores": {"sharpness": 0.5}, "seed": 3}
    later |= {"origin": "synthetic", "guidance_interval": (0.0, 1.5), "guidance": 3, "params": {"a": 1, "b": "x"}}
    parts: list[dict[str, Any]] = [{"group": None}, {"group": None}, later]
    for index, facts in enumerate(parts):
        write_shard(tmp_path / "set", "set", index, items(6, f"s{index}", **facts), classes=CLASSES)
    write_card(tmp_path / "set")
    rows = loaded(tmp_path / "set", tmp_path / "cache")["train"]
    assert len(rows) == 18
    last, first = rows[17]["json"], rows[0]["json"]
    assert (first["group"], first["attributes"], first["guidance_interval"]) == (None, {"note": None}, None)
    assert (last["group"], last["attributes"], last["guidance_interval"]) == ("5", {"note": "left arm"}, [0.0, 1.5])
    assert (last["params"], last["scores"], last["seed"]) == ({"a": 1, "b": "x"}, {"sharpness": 0.5}, 3)


def test_phantoms_are_read_with_their_truth(phantom_shards: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom_shards / "train", tmp_path / "train"))
    write_card(folder)
    rows = loaded(folder, tmp_path / "cache")["train"]
    truth = {sample.id: sample.params for sample, _ in ShardSet.open(folder).samples()}
    assert {row["__key__"]: row["json"]["params"] for row in rows} == truth


def test_every_field_of_a_sample_is_a_column(tmp_path: Path) -> None:
    write_shard(tmp_path, "set", 0, items(2), classes=CLASSES)
    columns = {column["name"]: column for column in features(ShardSet.open(tmp_path))}
    sample, _ = ShardSet.open(tmp_path).at(0)
    assert {field["name"] for field in columns["json"]["struct"]} == set(sample.model_dump(by_alias=True))
    assert list(columns) == ["cls", "json", "png", "__key__", "__url__"]

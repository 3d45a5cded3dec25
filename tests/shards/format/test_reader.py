"""Filters read only sidecars, images are read by offset, and views find their own images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items

from shards import ShardSet, UserError, write_shard
from shards.storage.location import Folder

Make = Callable[..., Path]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Eight images of two strategies; every other one has a score."""
    samples = [
        (
            s.model_copy(
                update={
                    "strategy": "inpaint" if i % 4 else "text-to-image",
                    "split": "train",
                    "scores": {"quality": i / 10} if i % 2 else {},
                }
            ),
            image,
            ext,
        )
        for i, (s, image, ext) in enumerate(items(8))
    ]
    write_shard(tmp_path, "set", 0, samples, classes=CLASSES)
    return tmp_path


def test_filters_read_no_tar(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Class, group, strategy, split, score and ids come from the sidecars."""
    monkeypatch.setattr(Folder, "open", lambda *a: pytest.fail("a tar was opened"))
    data = ShardSet.open(mixed)

    def ids(**conditions: object) -> list[int]:
        return [int(key[2:]) for key in data.where(**conditions).rows["id"]]  # type: ignore[arg-type]

    assert ids(cls="nodule") == [1, 3, 5, 7]
    assert ids(group="dark") == [2, 3, 6, 7]
    assert ids(cls="nodule", group="dark", strategy="inpaint") == [3, 7]
    assert ids(strategy=["inpaint", "text-to-image"], split="test") == []
    assert ids(min_score={"quality": 0.5}) == [5, 7]
    assert ids(ids=["s-0001", "s-0002"], exclude=["s-0002"]) == [1]
    assert ids(origin="real") == []


def test_groups_go_from_light_to_dark(mixed: Path, tmp_path: Path) -> None:
    """Every table and sheet shows skin types in this order; other words, such as Fitzpatrick's, are sorted."""
    assert ShardSet.open(mixed).groups == ["light", "dark"]
    write_shard(
        tmp_path / "fst",
        "set",
        0,
        [
            (s.model_copy(update={"group": group}), image, ext)
            for (s, image, ext), group in zip(items(3), ("VI", None, "II"), strict=True)
        ],
        classes=CLASSES,
    )
    assert ShardSet.open(tmp_path / "fst").groups == ["II", "VI"]


def test_views_read_their_own_images(mixed: Path) -> None:
    """A view of a view reads its own rows, by position and by id."""
    data = ShardSet.open(mixed)
    view = data.where(cls="nodule").take([3, 0])
    assert [sample.id for sample, _ in view.samples()] == ["s-0007", "s-0001"]
    assert view.read("s-0007") == data.read("s-0007")
    assert view.labels.tolist() == [1, 1]
    with pytest.raises(UserError, match="no image 's-0002' among the 2"):
        view.read("s-0002")


def test_a_set_travels_to_another_process(mixed: Path) -> None:
    """The state that a loader's worker gets has no open files, and reads the same."""
    data = ShardSet.open(mixed)
    list(data.samples())
    again = copy.deepcopy(data)
    assert not again._files.files
    assert list(again.samples(verify=True)) == list(data.samples(verify=True))


def test_open_files_are_bounded(make_shards: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """More shards than may be open at once can still be read."""
    monkeypatch.setattr(Folder, "keep_open", 2)
    data = ShardSet.open(make_shards(12, shard_size=2))
    assert [s.id for s, _ in data.samples(verify=True)] == list(data.rows["id"])
    assert len(data._files.files) == 2

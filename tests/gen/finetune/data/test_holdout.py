"""Held-out images are refused by id, cluster, content and lineage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermforge.common.errors import UserError
from gen.finetune.data.holdout import Holdout, read_holdout
from gen.finetune.task import Task
from shards.format.images import encode_image
from shards.ingest.folder import open_data

ROWS = pd.DataFrame({"id": ["a", "b", "c"], "cluster": ["p1", "p2", None]})


def test_held_out_images_are_refused_by_id_cluster_and_content() -> None:
    Holdout(frozenset({"x"}), frozenset({"p9"}), frozenset({"0"})).check(ROWS, {"a": "1", "b": "2", "c": "3"})
    for held_out, said in (
        (Holdout(frozenset({"a"})), "1 training images are held out: a;"),
        (Holdout(clusters=frozenset({"p2"})), r"b \(in cluster p2\)"),
        (Holdout(digests=frozenset({"3"})), r"c \(the same file\)"),
    ):
        with pytest.raises(UserError, match=said):
            held_out.check(ROWS, {"a": "1", "b": "2", "c": "3"})


def test_a_base_that_has_seen_held_out_images_is_refused() -> None:
    with pytest.raises(UserError, match="tuned on 1 images that are held out"):
        Holdout(frozenset({"phantom-07-plaque"})).check_lineage(["phantom-[00-10]-plaque"], "the base model")


def test_held_out_lists_are_read(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\n\n b \n")
    assert read_holdout(tmp_path / "ids.txt").ids == {"a", "b"}
    (tmp_path / "ids.csv").write_text("id,cluster,image_sha256\na,p1,\nb,,ff\n")
    assert read_holdout(tmp_path / "ids.csv") == Holdout(frozenset("ab"), frozenset({"p1"}), frozenset({"ff"}))
    (tmp_path / "none.csv").write_text("name\na\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for name, said in (
        ("none.csv", "no column 'id'"),
        ("empty.txt", "names no ids"),
        ("binary.txt", "is not text"),
        ("missing.txt", "no held-out list"),
    ):
        with pytest.raises(UserError, match=said):
            read_holdout(tmp_path / name)


@pytest.mark.parametrize(
    ("splits", "held"),
    [
        (["train"] * 3, {"p0", "p1", "p2"}),
        (["test", "validation", "test"], {"p0", "p1", "p2"}),
        ([None, None, None], {"p0", "p1", "p2"}),
        (["train", None, "train"], {"p0", "p1", "p2"}),
        (["train", "test", "train"], {"p1"}),
        (["train", "validation", None], {"p1", "p2"}),
    ],
)
def test_a_set_that_is_named_holds_out_whatever_its_images_are_marked(
    tmp_path: Path, splits: list[str | None], held: set[str]
) -> None:
    """All of it, but for training images beside others; a copy of it elsewhere, under other names, too."""
    rng = np.random.default_rng(0)
    pictures = [encode_image(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in splits]
    for folder, letter, marks in (("set", "p", splits), ("copy", "q", ["train"] * 3)):
        names = [f"{letter}{i}.png" for i in range(3)]
        (tmp_path / folder).mkdir()
        for name, picture in zip(names, pictures, strict=True):
            (tmp_path / folder / name).write_bytes(picture)
        table = pd.DataFrame({"file": names, "class": "plaque", "split": marks})
        table.to_csv(tmp_path / folder / "labels.csv", index=False)
    found = read_holdout(tmp_path / "set")
    assert found.ids == held
    task = Task("", open_data(tmp_path / "copy"), tmp_path / "out", found)
    with pytest.raises(UserError, match=rf"^{len(held)} training images are held out: .*the same file"):
        task.examples("{class}", [])


def test_the_images_of_a_run_cannot_be_its_hold_out(phantom_shards: Path, tmp_path: Path) -> None:
    train = phantom_shards / "train"
    with pytest.raises(UserError, match=r"^72 training images are held out"):
        Task("", open_data(train), tmp_path / "out", read_holdout(train)).examples("{class}", [])

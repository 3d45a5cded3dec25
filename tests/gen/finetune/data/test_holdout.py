"""Held-out images are refused by id, cluster, content and lineage."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dermforge.common.errors import UserError
from gen.finetune.data.holdout import Holdout, read_holdout

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

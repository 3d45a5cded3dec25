"""Images of any generator become a synthetic set, which says what made it and on which images it was trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import items, picture

from shards import ShardSet, write_shard
from shards.format.images import encode_image


@pytest.fixture
def gan(tmp_path: Path) -> Path:
    """Eight images in folders of two classes, one of them there twice, and a table of their skin types."""
    rows = ["file,class,fst,seed"]
    for i in range(8):
        path = tmp_path / "gan" / "ab"[i % 2] / f"seed{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(picture(i)))
        rows.append(f"{'ab'[i % 2]}/seed{i}.png,{'ab'[i % 2]},{'III' if i < 4 else 'unknown'},{i}")
    (tmp_path / "gan" / "a" / "again.png").write_bytes(encode_image(picture(0)))
    (tmp_path / "gan" / "table.csv").write_text("\n".join([*rows, "a/again.png,a,III,0"]))
    return tmp_path / "gan"


def test_one_set_with_generator_and_lineage(
    gan: Path, tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "seen.csv").write_text("file,class\nphotos/p1.jpg,a\nphotos/p 2.jpg,b\n")
    words = ("--origin", "synthetic", "--generator", "stylegan3", "--lineage", tmp_path / "seen.csv")
    status, out, _ = shards("make", gan, "--out", tmp_path / "out", *words, "--shard-size", 5)
    assert (status, "8 synthetic; 1 dropped" in out) == (0, True)
    data = ShardSet.open(tmp_path / "out")
    assert len(data.sidecars) == 2
    assert data.provenance(0).lineage == ("p-2", "p1")
    assert set(data.rows["origin"]) == {"synthetic"}
    assert set(data.rows["group"]) == {"3", None}
    assert set(data.rows["strategy"]) == {"stylegan3"}
    assert set(data.rows["split"]) == set(data.rows["cluster"]) == {None}
    assert data.rows["attributes"][0] == {"generator": "stylegan3", "seed": "0"}
    assert shards("verify", tmp_path / "out", "--deep")[0] == 0
    assert shards("make", gan, "--out", tmp_path / "out", *words, "--shard-size", 5)[0] == 0


def test_synthetic_shards_and_a_lineage_of_shards(
    make_shards: Callable[..., Path], tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    """A webdataset whose images say that they are synthetic is taken; all images of a real set can be the lineage."""
    (tmp_path / "in").mkdir()
    write_shard(tmp_path / "in", "x", 0, items(3, origin="synthetic"), classes=["macule", "nodule"])
    real = make_shards(4, prefix="real")
    words = ("--origin", "synthetic", "--generator", "g", "--lineage", real)
    assert shards("make", tmp_path / "in", "--out", tmp_path / "out", *words)[0] == 0
    assert ShardSet.open(tmp_path / "out").provenance(0).lineage == tuple(f"real-{i:04d}" for i in range(4))
    assert shards("make", tmp_path / "in", "--out", tmp_path / "real")[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--origin", "synthetic"], "needs --generator NAME and --lineage"),
        (["--origin", "fake"], "expected real or synthetic"),
        (["--generator", "g"], "give --origin synthetic as well"),
        (["--origin", "synthetic", "--generator", "g", "--lineage", "no.csv"], "no file no.csv"),
    ],
)
def test_what_is_missing_is_asked_for(
    gan: Path, tmp_path: Path, shards: Callable[..., tuple[int, str, str]], words: list[str], message: str
) -> None:
    status, _, err = shards("make", gan, "--out", tmp_path / "out", *words)
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert message in err

"""Cards: the standards' own readers accept them, and every number is that of the shards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from shards import Provenance, Sample, ShardSetWriter, encode_image
from shards.commands.card import card
from shards.format.reader import ShardSet
from shards.tools.purge import purge

app = typer.Typer()
app.command()(card)


@pytest.fixture
def mlcroissant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The reference implementation, unpacking into this test's folder: it keeps archives by name, for ever."""
    module = pytest.importorskip("mlcroissant")
    from etils import epath
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", epath.Path(tmp_path / "unpacked"))
    return module


@pytest.fixture
def shard_set(tmp_path: Path) -> Path:
    """Seven synthetic images of two classes in three shards."""
    folder = tmp_path / "lesions"
    made_by = Provenance(model_digest="a" * 64, lineage=("real-1", "real-2"))
    classes = ("macule", "plaque")
    with ShardSetWriter(folder, "demo", classes=classes, shard_size=3, provenance=made_by) as writer:
        for i in range(7):
            image = np.full((8, 8, 3), i * 30, np.uint8)
            sample = Sample(
                id=f"s{i}",
                origin="synthetic",
                label=("macule", "plaque")[i % 2],
                group=("dark", None)[i == 6],
                prompt="An image of a macule",
                steps=20,
                seed=i,
            )
            writer.add(sample, encode_image(image, "png"), "png")
    return folder


def written(folder: Path, *options: str) -> tuple[str, dict]:
    result = CliRunner().invoke(app, [str(folder), "--license", "cc-by-4.0", *options], catch_exceptions=False)
    assert result.exit_code == 0
    return (folder / "README.md").read_text(), json.loads((folder / "croissant.json").read_text())


def test_mlcroissant_accepts_it_without_a_warning(shard_set: Path, mlcroissant: ModuleType) -> None:
    """The reference implementation of Croissant validates the document."""
    written(shard_set, "--cite", "Someone 2026")
    dataset = mlcroissant.Dataset(jsonld=shard_set / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings


def test_mlcroissant_reads_the_samples_and_images(shard_set: Path, mlcroissant: ModuleType) -> None:
    """Not only well formed: records come out of the tars, the right ones."""
    written(shard_set)
    dataset = mlcroissant.Dataset(jsonld=shard_set / "croissant.json")
    samples = {_text(r["samples/id"]): _text(r["samples/class"]) for r in dataset.records("samples")}
    assert samples == {f"s{i}": ("macule", "plaque")[i % 2] for i in range(7)}
    assert {_text(r["samples/group"]) for r in dataset.records("samples")} == {"dark", "None"}
    images = {_text(r["images/id"]): r["images/image"] for r in dataset.records("images")}
    assert {name: int(np.asarray(image)[0, 0, 0]) for name, image in images.items()} == {
        f"s{i}": 30 * i for i in range(7)
    }


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def test_digests_and_sizes_are_those_of_the_tars(shard_set: Path) -> None:
    """Who downloads a file can check it against the description."""
    _, document = written(shard_set)
    files = {f["@id"]: f for f in document["distribution"] if f["@type"] == "cr:FileObject"}
    for sidecar in ShardSet.open(shard_set).sidecars:
        assert files[sidecar.tar]["sha256"] == sidecar.sha256
        assert files[sidecar.tar]["contentSize"] == f"{(shard_set / sidecar.tar).stat().st_size} B"
    assert files["samples.csv"]["sha256"] == hashlib.sha256((shard_set / "samples.csv").read_bytes()).hexdigest()


def test_the_hub_reads_the_card(shard_set: Path) -> None:
    """Its head is what the hub's own parser understands: licence, size, and which tar is which split."""
    from huggingface_hub import DatasetCard

    text, _ = written(shard_set, "--name", "Lesions")
    data = DatasetCard(text).data.to_dict()
    assert data["license"] == "cc-by-4.0"
    assert data["size_categories"] == ["n<1K"]
    assert data["configs"][0]["data_files"] == [{"split": "train", "path": [f"demo-{i:06d}.tar" for i in range(3)]}]
    assert "synthetic" in data["tags"]


def test_the_card_counts_what_is_there_and_says_what_the_model_saw(shard_set: Path) -> None:
    """Counts per class and skin type, unknown types included, the model's digest and the lineage warning."""
    text, _ = written(shard_set)
    assert "| macule | 3 | 1 | 4 |" in text
    assert "| plaque | 3 | 0 | 3 |" in text
    assert "a" * 64 in text
    assert "2 entries of lineage" in text
    assert "not photographs of patients" in text


def test_phantoms_are_called_phantoms(phantom_shards: Path) -> None:
    """Nobody should take drawings for pictures of a disease."""
    from shards.tools.datacard import card as text_of

    text = text_of(ShardSet.open(phantom_shards / "train"), name="x", license_id="mit")
    assert "**Phantoms**" in text
    assert "How they were made" not in text


def test_a_card_that_is_there_is_not_replaced_unasked(shard_set: Path) -> None:
    """Somebody may have written it by hand."""
    (shard_set / "README.md").write_text("mine")
    with pytest.raises(UserError, match="--force"):
        CliRunner().invoke(app, [str(shard_set), "--license", "mit"], catch_exceptions=False)
    assert (shard_set / "README.md").read_text() == "mine"
    written(shard_set, "--force")


def test_after_a_purge_nothing_describes_what_went(shard_set: Path, mlcroissant: ModuleType) -> None:
    """Table, description and digests follow the shards, with the author's words; the card is said to be old."""
    written(shard_set, "--cite", "Someone 2026")
    done = purge(shard_set, "s3")
    assert done.described == ["README.md"]
    assert "s3" not in (shard_set / "samples.csv").read_text().replace(",", "\n").splitlines()
    document = json.loads((shard_set / "croissant.json").read_text())
    assert (document["citeAs"], document["description"]) == ("Someone 2026", "6 images of macule, plaque.")
    sums = {f["@id"]: f["sha256"] for f in document["distribution"] if f["@type"] == "cr:FileObject"}
    for name, digest in sums.items():
        assert hashlib.sha256((shard_set / name).read_bytes()).hexdigest() == digest
    assert not mlcroissant.Dataset(jsonld=shard_set / "croissant.json").metadata.ctx.issues.errors
    written(shard_set, "--force", "--summary", "Lesions.")
    for name in ("s0", "s1", "s2", "s4", "s5", "s6"):
        purge(shard_set, name)
        if name == "s0":
            assert json.loads((shard_set / "croissant.json").read_text())["description"] == "Lesions."
    assert not (shard_set / "samples.csv").exists()  # an empty set cannot be described
    assert not (shard_set / "croissant.json").exists()


def test_files_of_others_are_named_and_left_by_a_purge(shard_set: Path) -> None:
    """A samples.csv with other columns, a croissant.json of another tool."""
    (shard_set / "samples.csv").write_text("mine\n")
    (shard_set / "croissant.json").write_text("[]")
    assert purge(shard_set, "s3").described == ["croissant.json"]
    assert (shard_set / "samples.csv").read_text() == "mine\n"

"""The reference implementation of Croissant accepts the description, and reads the images by it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from shards_helpers import write_card

from shards.format.reader import ShardSet
from shards.tools.purge import purge
from shards.tools.responsible import responsible


@pytest.fixture
def mlcroissant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The reference implementation, made to unpack into this test's folder: it never deletes what it unpacked."""
    module = pytest.importorskip("mlcroissant")
    from etils import epath
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", epath.Path(tmp_path / "unpacked"))
    return module


def test_mlcroissant_accepts_it_without_a_warning(shard_set: Path, mlcroissant: ModuleType) -> None:
    """The reference implementation of Croissant validates the document."""
    write_card(shard_set, "--cite", "Someone 2026")
    dataset = mlcroissant.Dataset(jsonld=shard_set / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings


def test_the_responsible_part_is_read(shard_set: Path, phantom_shards: Path, mlcroissant: ModuleType) -> None:
    """Every property of it is one that the reference implementation knows, and says what the shards say."""
    _, document = write_card(shard_set)
    metadata = mlcroissant.Dataset(jsonld=shard_set / "croissant.json").metadata
    assert metadata.data_biases[0] == "Images by skin type: dark 6, not known 1."
    assert metadata.data_collection_missing_data == "1 of 7 images have no skin type."
    assert "2 real images" in " ".join(metadata.personal_sensitive_information)
    known = {str(url).rpartition("/")[2] for name, url in vars(mlcroissant.constants).items() if "_RAI_" in name}
    said = {name.removeprefix("rai:") for name in document if name.startswith("rai:")}
    assert len(said) == 10
    assert said <= known
    assert "http://mlcommons.org/croissant/RAI/1.0" in document["conformsTo"]
    data = ShardSet.open(phantom_shards / "test")
    assert responsible(data)["rai:personalSensitiveInformation"] == ["None: no person is shown or named."]


def test_mlcroissant_reads_the_samples_and_images(shard_set: Path, mlcroissant: ModuleType) -> None:
    """The records that it reads from the tars are the right ones."""
    write_card(shard_set)
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
    """A downloaded file can be checked against the description."""
    _, document = write_card(shard_set)
    files = {f["@id"]: f for f in document["distribution"] if f["@type"] == "cr:FileObject"}
    for sidecar in ShardSet.open(shard_set).sidecars:
        assert files[sidecar.tar]["sha256"] == sidecar.sha256
        assert files[sidecar.tar]["contentSize"] == f"{(shard_set / sidecar.tar).stat().st_size} B"
    assert files["samples.csv"]["sha256"] == hashlib.sha256((shard_set / "samples.csv").read_bytes()).hexdigest()


def test_after_a_purge_nothing_describes_what_went(shard_set: Path, mlcroissant: ModuleType) -> None:
    """Table, description and digests are updated, with the author's words; the card is reported as outdated."""
    write_card(shard_set, "--cite", "Someone 2026")
    done = purge(shard_set, "s3")
    assert done.described == ["README.md"]
    assert "s3" not in (shard_set / "samples.csv").read_text().replace(",", "\n").splitlines()
    document = json.loads((shard_set / "croissant.json").read_text())
    assert (document["citeAs"], document["description"]) == ("Someone 2026", "6 images of macule, plaque.")
    sums = {f["@id"]: f["sha256"] for f in document["distribution"] if f["@type"] == "cr:FileObject"}
    for name, digest in sums.items():
        assert hashlib.sha256((shard_set / name).read_bytes()).hexdigest() == digest
    assert not mlcroissant.Dataset(jsonld=shard_set / "croissant.json").metadata.ctx.issues.errors
    write_card(shard_set, "--force", "--summary", "Lesions.")
    for name in ("s0", "s1", "s2", "s4", "s5", "s6"):
        purge(shard_set, name)
        if name == "s0":
            assert json.loads((shard_set / "croissant.json").read_text())["description"] == "Lesions."
    assert not (shard_set / "samples.csv").exists()  # an empty set cannot be described
    assert not (shard_set / "croissant.json").exists()


def test_files_of_others_are_named_and_left_by_a_purge(shard_set: Path) -> None:
    """A samples.csv with other columns and a croissant.json of another tool are not changed."""
    (shard_set / "samples.csv").write_text("mine\n")
    (shard_set / "croissant.json").write_text("[]")
    assert purge(shard_set, "s3").described == ["croissant.json"]
    assert (shard_set / "samples.csv").read_text() == "mine\n"

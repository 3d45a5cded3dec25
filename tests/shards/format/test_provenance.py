"""Certificates in a sidecar: read back as written, and absent where nobody said which there are."""

from __future__ import annotations

from pathlib import Path

from shards_helpers import CLASSES, items

from shards import Provenance, ShardSet, write_shard
from shards.format.provenance import Certificates, Parity, Use

BOTH = Certificates(
    parity=Parity(passed=True, reference="diffusers"), use=Use(digest="f" * 64, verdict="pass", teacher=("e" * 64,))
)


def test_certificates_are_read_as_they_were_written(tmp_path: Path) -> None:
    for number, certificates in enumerate((BOTH, Certificates(use_missing="other steps"), None)):
        folder = tmp_path / str(number)
        source = Provenance("a" * 64, "b" * 64, certificates=certificates)
        write_shard(folder, "set", 0, items(2), classes=CLASSES, provenance=source)
        found = ShardSet.open(folder)
        assert found.provenance(0) == source
        assert found.sidecars[0].to_bytes() == (folder / "set-000000.json").read_bytes()


def test_the_sidecar_of_images_without_a_generator_has_the_keys_that_it_always_had(tmp_path: Path) -> None:
    write_shard(tmp_path, "set", 0, items(2), classes=CLASSES)
    assert b'"certificates"' not in (tmp_path / "set-000000.json").read_bytes()

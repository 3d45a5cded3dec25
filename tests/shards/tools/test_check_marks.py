"""`shards verify --deep` compares each image's mark with what the set says; tools that copy images keep marks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mark_helpers import DRAWN, drawn, of_another_tool
from shards_helpers import CLASSES

from shards import Mark, Provenance, Sample, ShardSet, UserError, mark_of, write_shard
from shards.tools.check_marks import check_marks
from shards.tools.purge import purge
from shards.tools.select import select
from shards.tools.verify import verify

BUNDLE = "5e" * 32


def write(folder: Path, images: list[bytes], origin: str = "synthetic", bundle: str | None = BUNDLE) -> None:
    items = [
        (
            Sample.model_validate({"id": f"s{i}", "origin": origin, "class": CLASSES[i % 2], "parent": f"p{i}"}),
            image,
            "png",
        )
        for i, image in enumerate(images)
    ]
    write_shard(folder, "set", 0, items, classes=CLASSES, provenance=Provenance(bundle_digest=bundle))


def test_marks_that_fit_are_no_fault(tmp_path: Path) -> None:
    write(tmp_path, [drawn(0), of_another_tool("PNG")])
    verdict = verify(tmp_path, deep=True, workers=1, require_marks=True)
    assert not verdict.faults
    assert not verdict.notes


def test_a_mark_of_another_bundle_is_a_fault(tmp_path: Path) -> None:
    """Where the set names none, as a set of another generator, any may stand there."""
    write(tmp_path / "a", [drawn(0)], bundle="77" * 32)
    assert "marked as made by the bundle 5e5e5e5e5e5e, its sidecar says 777777777777" in "".join(
        verify(tmp_path / "a", deep=True, workers=1).faults
    )
    write(tmp_path / "b", [drawn(0)], bundle=None)
    assert not verify(tmp_path / "b", deep=True, workers=1).faults


@pytest.mark.parametrize("origin", ["real", "phantom"])
def test_a_marked_image_of_a_real_set_is_refused_and_found(
    tmp_path: Path, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer refuses it; one that came in by another way is a fault."""
    with pytest.raises(UserError, match=f"s0 is marked as trainedAlgorithmicMedia, not as {origin}"):
        write(tmp_path, [drawn(0)], origin)
    assert not list(tmp_path.glob("*.tar"))
    monkeypatch.setattr("shards.format.writer.mark_of", lambda image: None)
    write(tmp_path, [drawn(0)], origin)
    (fault,) = verify(tmp_path, deep=True, workers=1).faults
    assert f"s0 in {tmp_path}/set-000000.tar is of origin {origin!r}, but the image itself is marked as" in fault


def test_drawn_phantoms_say_so(phantom_shards: Path) -> None:
    data = ShardSet.open(phantom_shards / "test")
    assert {mark_of(image) for _, image in data.samples()} == {Mark("algorithmicMedia", "")}
    assert not verify(phantom_shards / "test", deep=True, workers=1, require_marks=True).faults


def test_tools_that_copy_keep_marks(tmp_path: Path) -> None:
    write(tmp_path / "a", [drawn(i) for i in range(4)])
    select(ShardSet.open(tmp_path / "a").where(cls=CLASSES[0]), tmp_path / "b")
    purge(tmp_path / "a", "p1", "me")
    for folder, n in (("a", 3), ("b", 2)):
        kept = [mark_of(image) for _, image in ShardSet.open(tmp_path / folder).samples()]
        assert kept == [Mark(DRAWN.source_type, "", BUNDLE)] * n
        assert not verify(tmp_path / folder, deep=True, workers=1, require_marks=True).faults


def test_the_command_counts_unmarked_images_and_fails_on_request(
    shard_set: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, err = shards("verify", shard_set, "--deep")
    assert (status, "every digest, header, image and mark" in out) == (0, True)
    assert "note: 7 of 7 images are synthetic and not marked as such (the first is s0)" in err
    assert shards("verify", shard_set, "--deep", "--require-marks")[0] == 1
    assert shards("verify", shard_set, "--require-marks")[0] == 2
    data = ShardSet.open(shard_set)
    with (shard_set / data.sidecars[0].tar).open("rb") as file:
        assert check_marks(file, data.sidecars[0], "x").unmarked == ["s0", "s1", "s2"]

"""Every command that takes real images refuses marked ones, by any tool, with their ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mark_helpers import DRAWN, of_another_tool
from PIL import Image

from dermforge.common.errors import UserError
from evalsuite.images.image_data import open_images, open_real
from evalsuite.images.privacy.audit import audit_copies
from evalsuite.images.privacy.reshots import open_splits
from evalsuite.images.quality.quality_report import measure_quality
from evalsuite.images.tone.tone_report import measure_tone
from evalsuite.training.data.datasets import Places, open_data
from evalsuite.training.data.held_out import check_held_out
from shards import encode_image
from shards import open_data as open_shards

MARKED = "marked as made by an algorithm .*trainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def real(phantom_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain folder of train/, validation/ and test/, with the phantoms' pixels and no marks."""
    out = tmp_path_factory.mktemp("plain")
    for split in ("train", "validation", "test"):
        for sample, pixels in open_shards(phantom_shards / split).images():
            path = out / split / sample.label / f"{sample.id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_image(pixels))
    return out


@pytest.fixture
def one_marked(real: Path, tmp_path: Path) -> Path:
    """The same, and one test image is another tool's."""
    for path in real.rglob("*.png"):
        place = tmp_path / "data" / path.relative_to(real)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(path)
    (tmp_path / "data" / "test" / "macule" / "made.jpg").write_bytes(of_another_tool("JPEG", seed=99))
    return tmp_path / "data"


def test_no_classifier_is_trained_or_tested_on_marked_images(real: Path, one_marked: Path) -> None:
    assert not check_held_out(open_data(Places(real=real, size=32)), allow=False)
    opened = open_data(Places(real=one_marked, size=32))
    with pytest.raises(UserError, match=r"given as real test images, but 1 of 73 .*\(macule-made: trained"):
        check_held_out(opened, allow=True)


def test_no_external_set_is_marked(real: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / "macule").mkdir(parents=True)
    (tmp_path / "a" / "macule" / "other.png").write_bytes(of_another_tool("PNG", seed=98))
    opened = open_data(Places(real=real, size=32, external=tmp_path / "a"))
    with pytest.raises(UserError, match="given as real external images, but 1 of 1 "):
        check_held_out(opened, allow=True)


def test_no_measure_takes_marked_images_for_real(real: Path, one_marked: Path) -> None:
    """As the images that are measured they are welcome."""
    test, made = one_marked / "test", open_images(one_marked / "test")
    with pytest.raises(UserError, match=MARKED):
        measure_quality(real=test, synthetic=made)
    with pytest.raises(UserError, match=MARKED):
        measure_tone(images=made, reference=test)
    with pytest.raises(UserError, match=MARKED):
        audit_copies(train=test, synthetic=made)
    with pytest.raises(UserError, match=MARKED):
        audit_copies(train=real / "train", synthetic=made, test=test)
    with pytest.raises(UserError, match=MARKED):
        open_splits(one_marked)
    assert len(measure_tone(images=made.take(np.arange(4)), reference=real / "validation").images) == 4


def test_arrays_have_no_marks_to_read() -> None:
    assert len(open_real(np.zeros((2, 8, 8, 3), np.uint8)).rows) == 2


def test_marked_and_unmarked_pixels_are_the_same_to_a_classifier(tmp_path: Path) -> None:
    """What is trained on reads pixels only."""
    from shards.mixing.tensors import TensorSet

    pixels = np.asarray(Image.effect_noise((40, 40), 50).convert("RGB"))
    for name, mark in (("a", None), ("b", DRAWN)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(encode_image(pixels, mark=mark))
    both = [next(TensorSet([open_shards(tmp_path / name)], 32).batches(1)) for name in "ab"]
    assert both[0].equal(both[1])

"""Two sets of one plan are paired; of other cells or counts they are refused, and the difference is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from use_helpers import BUNDLE, CLASSES, SETTINGS, phantom, write_real, write_side

from dermforge.common.errors import UserError
from evalsuite.use.same_plan import Noting, same_plan, used
from shards import ShardSet, open_data, write_shard
from shards.tools.select import select


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_side(tmp_path_factory.mktemp("plan") / "teacher", phantom(0), 2)


def test_sets_of_one_plan_are_paired_in_the_order_of_their_ids(teacher: Path) -> None:
    data = ShardSet.open(teacher)
    mixed = data.take(np.random.default_rng(0).permutation(data.n))
    pair = same_plan(data, mixed)
    assert pair.paired
    assert pair.teacher.rows["id"].tolist() == pair.student.rows["id"].tolist()
    assert pair.groups == ["dark", "light", "tan"]


def test_other_counts_are_named(teacher: Path) -> None:
    data = ShardSet.open(teacher)
    with pytest.raises(
        UserError, match=r"18 images of the teacher and 17 .* annulus x light x text-to-image \(2 and 1\)"
    ):
        same_plan(data, data.where(exclude=["0000-0-0"]))
    with pytest.raises(UserError, match="and 6 cells more"):
        same_plan(data, data.take(np.arange(9)))


def test_equal_cells_with_other_ids_are_two_sets(teacher: Path, tmp_path: Path) -> None:
    """As those of another tool, or of a plan with other numbers."""
    data = ShardSet.open(teacher)
    half = data.where(ids=[id for id in data.rows["id"] if id.startswith("0000")])
    other = data.where(ids=[id for id in data.rows["id"] if id.startswith("0001")])
    assert not same_plan(half, other).paired


def test_equal_ids_of_other_cells_are_two_sets(teacher: Path, tmp_path: Path) -> None:
    images = list(ShardSet.open(teacher).samples())
    turned = [
        (sample.model_copy(update={"id": other.id}), content, "png")
        for (sample, content), (other, _) in zip(reversed(images), images, strict=True)
    ]
    write_shard(tmp_path / "turned", "s", 0, turned, classes=CLASSES)
    assert not same_plan(ShardSet.open(teacher), ShardSet.open(tmp_path / "turned")).paired


def test_real_images_are_refused(teacher: Path, tmp_path: Path) -> None:
    real = open_data(write_real(tmp_path / "real", 2) / "test")
    with pytest.raises(
        UserError, match="the student's images are not all synthetic \\(18 are not, the first r2-0000-0-0"
    ):
        same_plan(ShardSet.open(teacher), real)


def test_what_is_recorded_of_a_set(teacher: Path, tmp_path: Path) -> None:
    data = ShardSet.open(teacher)
    noting = Noting(data)
    assert len(list(noting.images())) == 18
    found = used(data, noting.settings)
    assert found.bundles == (BUNDLE,)
    assert found.settings == (SETTINGS,)
    assert len(noting.cells()) == 9
    assert {(cell.n, cell.settings) for cell in noting.cells()} == {(2, (0,))}
    assert (found.images, len(found.digest)) == (18, 64)
    select(data, tmp_path / "copy", "other")
    assert used(open_data(tmp_path / "copy")).digest == found.digest
    assert used(data.take(np.arange(17))).digest != found.digest

"""A student is another generator than its teacher: another bundle, or the same one at other settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from use_helpers import CLASSES, phantom, write_side

from dermforge.common.errors import UserError
from evalsuite.use.not_itself import refuse_itself
from evalsuite.use.same_plan import same_plan
from shards import Provenance, Sample, ShardSet, open_data, write_shard
from shards.tools.select import select


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_side(tmp_path_factory.mktemp("itself") / "teacher", phantom(0), 1, steps=20)


def check(teacher: Path, student: Path) -> None:
    refuse_itself(same_plan(open_data(teacher), open_data(student)))


def changed(teacher: Path, folder: Path, count: int = 9, **values: Any) -> Path:
    """Other images by the same bundle, the first of them drawn with other settings."""
    other = write_side(folder / "other", phantom(50), 1, steps=20)
    data = ShardSet.open(other)
    images: list[tuple[Sample, bytes, Any]] = []
    for n, (sample, content) in enumerate(data.samples()):
        images.append((sample.model_copy(update=values if n < count else {}), content, "png"))
    source = Provenance(bundle_digest=ShardSet.open(teacher).provenance(0).bundle_digest)
    write_shard(folder / "changed", "s", 0, images, classes=CLASSES, provenance=source)
    return folder / "changed"


def test_the_same_images_are_refused_wherever_they_lie(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"are the same 9 images; .* nothing was compared"):
        check(teacher, teacher)
    select(ShardSet.open(teacher), tmp_path / "copy", "copied")
    with pytest.raises(UserError, match="are the same 9 images"):
        check(teacher, tmp_path / "copy")
    with pytest.raises(UserError, match="are the same 9 images"):
        check(teacher, write_side(tmp_path / "other", phantom(0), 1, bundle="f" * 64, steps=4))


def test_other_seeds_by_the_same_settings_are_refused(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"same bundle \(bbbbbbbbbbbb\) with the same settings \(.*solver ddim, steps 20.*8 cells more"
    ):
        check(teacher, changed(teacher, tmp_path, seed=7, prompt="another"))
    with pytest.raises(UserError, match="as the records of ulcer x dark x text-to-image say;"):
        check(teacher, changed(teacher, tmp_path / "one", 8, steps=3))


@pytest.mark.parametrize(
    "values", [{"steps": 3}, {"solver": "unipc"}, {"guidance": 1.0}, {"base_steps": 1}, {"guidance_interval": (0, 5)}]
)
def test_other_settings_are_another_generator(teacher: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    check(teacher, changed(teacher, tmp_path, **values))


def test_another_bundle_is_another_generator(teacher: Path, tmp_path: Path) -> None:
    check(teacher, write_side(tmp_path / "other", phantom(50), 1, bundle="f" * 64, steps=20))

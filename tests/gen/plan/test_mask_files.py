"""Masks are matched by the rule that makes ids of names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dermforge.common.errors import UserError
from gen.plan.mask_files import MaskFiles
from gen.plan.parents import Parents
from shards import open_data
from shards.ingest.files.kinds import MASK_ENDINGS
from shards.ingest.files.naming import id_of, unique_ids
from shards.ingest.importing import find
from shards.ingest.write.make import Splitting, make


def masks(folder: Path, *names: str) -> MaskFiles:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return MaskFiles(folder)


@given(st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_the_id_of_a_lone_name_is_that_of_the_image(name: str) -> None:
    assert unique_ids([name]) == [id_of(name)]


@pytest.mark.parametrize("ending", ["", *MASK_ENDINGS])
@pytest.mark.parametrize("name", ["M0.28", "IMG 0012 (2)", "nævus-1", "ISIC_0000000", "a.b.c"])
def test_a_mask_with_the_name_of_its_image_is_found(tmp_path: Path, name: str, ending: str) -> None:
    found = masks(tmp_path, f"{name}{ending}.png", "other.png").find(id_of(name))
    assert found.name == f"{name}{ending}.png"


def test_folders_count_as_in_the_ids_of_images(tmp_path: Path) -> None:
    files = masks(tmp_path, "naevus/1.png", "melanoma/1.png")
    assert files.find("naevus-1").parent.name == "naevus"
    with pytest.raises(UserError, match="may both be the mask of 1; call"):
        files.find("1")


def test_a_mask_with_the_id_itself_decides(tmp_path: Path) -> None:
    files = masks(tmp_path, "a.1.png", "a 1.png", "a-1.png")
    assert files.find("a-1").name == "a-1.png"


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no mask of M0-28 in .*expected M0-28\.png"):
        masks(tmp_path, "M0.3.png").find("M0-28")
    with pytest.raises(UserError, match="is not a folder"):
        MaskFiles(tmp_path / "nowhere")


def test_photographs_and_masks_of_the_same_names_meet_after_import(tmp_path: Path) -> None:
    """As filed: images called M0.28.png, and masks of the same names, through `shards make`."""
    for folder in ("images", "masks"):
        (tmp_path / folder / "naevus").mkdir(parents=True)
    for i, name in enumerate(("M0.28", "M0.3", "M1.0")):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels.repeat(4, 0).repeat(4, 1)).save(tmp_path / "images" / "naevus" / f"{name}.png")
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[: 4 * i + 4] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / "naevus" / f"{name}.png")
    make(find(tmp_path / "images"), tmp_path / "data", Splitting({"train": 1.0}))
    parents = Parents(open_data(tmp_path / "data" / "train"), "data", tmp_path / "masks")
    ids = parents.usable()["id"].tolist()
    assert len(ids) == 3
    parents.check(ids, ids)
    assert sorted(round(parents.lesion(one, 32).mean() * 8) for one in ids) == [1, 2, 3]


@pytest.mark.parametrize(("size", "fits"), [((60, 40), True), ((600, 400), True), ((61, 40), True), ((40, 60), False)])
def test_masks_keep_the_size_that_photographs_had(tmp_path: Path, size: tuple[int, int], fits: bool) -> None:
    """`shards make` reduces photographs, not masks; a mask of another shape is of another picture."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (60, 40), (200, 150, 120)).save(tmp_path / "images" / "a.png")
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    mask.save(tmp_path / "masks" / "a.png")
    parents = Parents(open_data(tmp_path / "images"), "images", tmp_path / "masks")
    if not fits:
        with pytest.raises(UserError, match="one must be the other, scaled"):
            parents.check(["a"], ["a"])
        return
    parents.check(["a"], ["a"])
    assert abs(parents.lesion("a", 16).mean() - 0.5) < 0.05


def test_a_link_to_a_file_outside_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    found = masks(tmp_path / "masks", "a.png")
    (tmp_path / "masks" / "b.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "masks" / "c.png").symlink_to("a.png")
    assert found.find("c").name == "c.png"
    with pytest.raises(UserError, match="outside the folder; copy that file here"):
        found.find("b")

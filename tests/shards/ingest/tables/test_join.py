"""A table's cell finds its file however it is written; what could mean two files is refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import UserError
from shards.ingest.files.walk import File
from shards.ingest.tables.join import ImageFiles


def files(*places: str) -> ImageFiles:
    return ImageFiles([File(place, Path("/data", place)) for place in places], Path("/data"))


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        ("a1.jpg", "a1.JPG"),
        ("a1.jpg", "a1.jpeg"),
        ("a1.jpg", "a1.png"),
        ("A1", "a1.webp"),
        ("part1\\a1.jpg", "part1/a1.jpg"),
        ("./part1/a1", "part1/a1.jpg"),
        ("old/part9/a1.jpg", "part1/a1.jpg"),
        ("/data/part1/a1.jpg", "part1/a1.jpg"),
        ("M0.22", "M0.22.png"),
        (unicodedata.normalize("NFD", "läsion.jpg"), unicodedata.normalize("NFC", "läsion.jpg")),
        ("STRASSE.jpg", "straße.jpg"),
    ],
)
def test_one_file_is_found_by_any_spelling(cell: str, place: str) -> None:
    found = files(place, "other/b2.jpg").find(cell)
    assert found is not None
    assert found.place == place


def test_folders_tell_equal_names_apart() -> None:
    """By the end of the path; and where the folder is there and the file is not, another folder's is not taken."""
    have = files("data/train/1.jpg", "data/test/1.jpg", "data/test/2.jpg", "3.jpg")
    assert have.find("train/1").place == "data/train/1.jpg"  # type: ignore[union-attr]
    assert have.find("test\\1.png").place == "data/test/1.jpg"  # type: ignore[union-attr]
    assert have.find("/home/x/3.jpg".lstrip("/")).place == "3.jpg"  # type: ignore[union-attr]
    assert have.find("train/2.jpg") is None
    with pytest.raises(UserError, match="may mean"):
        have.find("1.jpg")


def test_images_come_before_masks_of_the_same_name() -> None:
    have = files("images/a.jpg", "masks/a.png", "b_mask.png")
    assert have.find("a").place == "images/a.jpg"  # type: ignore[union-attr]
    assert have.find("b_mask").place == "b_mask.png"  # type: ignore[union-attr]


def test_exact_names_come_first_and_two_meanings_are_refused() -> None:
    have = files("a.jpg", "A.jpg", "a.png", "x/b.jpg", "y/b.jpg")
    assert [have.find(cell).place for cell in ("a.jpg", "A.jpg", "a.png", "y/b.jpg")] == [  # type: ignore[union-attr]
        *("a.jpg", "A.jpg", "a.png", "y/b.jpg")
    ]
    for cell in ("b.jpg", "b", "A"):
        with pytest.raises(UserError, match="may mean"):
            have.find(cell)
        assert have.matches(cell)
    with pytest.raises(UserError, match="points outside"):
        have.find("../a.jpg")
    assert have.find("") is None
    assert not have.matches("c.jpg")


@given(st.lists(st.text(st.characters(exclude_characters="/\\\0.", categories=["L", "N"]), min_size=1), unique=True))
def test_every_file_is_found_by_its_own_place(names: list[str]) -> None:
    places = [f"f/{name}.jpg" for name in names]
    have = files(*places)
    assert [have.find(place).place for place in places] == places  # type: ignore[union-attr]

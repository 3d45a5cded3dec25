"""Whatever lies in a data set is imported, dropped with a reason, or passed over with a reason, and exactly once."""

from __future__ import annotations

import functools
import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shards_helpers import picture

from shards import UserError
from shards.format.images import decode_image, encode_image
from shards.ingest.files.found import FoundImage
from shards.ingest.files.walk import File
from shards.ingest.importing import Labels, find
from shards.ingest.write.make import Splitting, make

FOLDERS = ("nevus", "Wart", "train", "VAL", "a b/c.d", "masks", ".hidden", "__MACOSX", "x_images_part_1", "é")
NAMES = (
    *("1.jpg", "2.JPG", "3.png", "p.q.jpeg", "scan.tif", "photo.heic", "torn.png", "m_mask.png", ".thumb.jpg"),
    *("notes.txt", "README.md", "Thumbs.db", "all.zip", "x.dcm", "bad.bmp", "noext", "_old.csv"),
)
LINKS = ("to_folder", "to_itself", "to_nothing", "to_file")
TARS = ("folders.tar", "samples.tar", "packed.tar.gz")
Plan = dict[str, list[str]]


def content(name: str, seed: int) -> bytes:
    if name in ("1.jpg", "2.JPG", "3.png", "p.q.jpeg", "m_mask.png", ".thumb.jpg"):
        return encode_image(picture(seed, 16), "png" if name.casefold().endswith("png") else "jpg")
    return b"none of these" if name != "notes.txt" else b"just words\nwithout columns"


def write_tar(path: Path, seed: int) -> list[str]:
    """A tar with images in folders, or with samples; the places that must be accounted for."""
    names = ["a.b/1.2.jpg", "c/2.jpg", "c/._2.jpg", "c/readme"]
    if path.name == "samples.tar":
        names = ["s.1.jpg", "s.1.cls", "t.png", "t.cls", "u.cls", "v.heic", "v.cls"]
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for i, name in enumerate(names):
            data = encode_image(picture(seed + i, 16), "png") if name.endswith(("jpg", "png")) else b"0"
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return ["s.1", "t", "u", "v"] if path.name == "samples.tar" else names


def build(root: Path, plan: Plan) -> int:
    """Make the tree; how many files must be accounted for."""
    root.mkdir()
    expected, seed = 0, 0
    for folder, names in plan.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            path, seed = root / folder / name, seed + 10
            expected += 1
            if name in TARS:
                expected += len(write_tar(path, seed)) - 1 if not folder.startswith((".", "__")) else 0
                if folder.startswith((".", "__")):
                    path.write_bytes(b"")
            elif name == "to_folder":
                path.symlink_to(root)
            elif name == "to_itself":
                path.symlink_to(path)
            elif name in ("to_nothing", "to_file"):
                path.symlink_to(root / folder / ("1.jpg" if name == "to_file" else "gone"))
            else:
                path.write_bytes(content(name, seed))
    return expected


def readable(one: FoundImage) -> bool:
    """Whether an image has a class and can be decoded."""
    try:
        decode_image(one.data.read() if isinstance(one.data, File) else one.data or b"")
    except UserError:
        return False
    return not one.problem and bool(one.facts["class"])


def check(plan: Plan) -> None:
    with tempfile.TemporaryDirectory() as folder:
        expected = build(Path(folder) / "in", plan)
        found = find(Path(folder) / "in")
        images = list(found)
        places = [one.place for one in images if one.data is not None] + [place for place, _ in found.passed_over]
        assert len(places) == len(set(places)) == expected
        assert all(why for _, why in found.passed_over)
        make_it = functools.partial(make, find(Path(folder) / "in"), Path(folder) / "out", Splitting({"train": 1}))
        if not any(map(readable, images)):
            with pytest.raises(UserError, match="no image is left"):
                make_it()
            return
        made = make_it()
        assert made.files == expected
        left_out = len(made.dropped) - made.rows_without_image
        assert sum(made.written.values()) + left_out + len(made.passed_over) == expected


PLANS = st.dictionaries(
    st.sampled_from(FOLDERS), st.lists(st.sampled_from((*NAMES, *LINKS, *TARS)), max_size=6, unique=True), max_size=5
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(PLANS)
def test_every_file_is_imported_or_listed(plan: Plan) -> None:
    check(plan)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(PLANS)
def test_every_file_of_200_trees_is_imported_or_listed(plan: Plan) -> None:
    check(plan)


def test_every_row_and_image_of_a_table_is_accounted_for(tmp_path: Path) -> None:
    """Rows that name no image, name one twice, or disagree, and an image that no row names."""
    (tmp_path / "in").mkdir()
    for i in range(4):
        (tmp_path / "in" / f"{i}.png").write_bytes(encode_image(picture(i)))
    rows = [("0.png", "a"), ("0.png", "a"), ("1.png", "a"), ("1.png", "b"), ("2.png", "b"), ("lost.png", "b")]
    pd.DataFrame(rows, columns=["file", "class"]).to_csv(tmp_path / "in" / "t.csv", index=False)
    made = make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}))
    assert made.written == {"train": 2}
    assert made.rows_without_image == 3
    assert made.files == 5 == 2 + (len(made.dropped) - 3) + len(made.passed_over)
    why = dict(made.dropped)
    assert "row 3 of t.csv names the same file as row 2" in why["0.png, row 3"]
    assert "say different things" in why["1.png"]
    assert "does not list it" in why["3.png"]
    assert made.passed_over == [("t.csv", "read: it describes the images")]
    assert "1 of them name no image" in made.notes[0]


def test_few_images_of_many_rows_are_an_error_unless_asked_for(
    tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.png").write_bytes(encode_image(picture(0)))
    lines = [f"{i}.png,{'ab'[i % 2]}" for i in range(5)]
    (tmp_path / "in" / "t.csv").write_text("\n".join(["file,class", *lines]))
    status, _, err = shards("make", tmp_path / "in", "--out", tmp_path / "out")
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert "5 rows, and 4 of them name no image" in err
    assert "--allow-missing" in err
    status, out, err = shards("make", tmp_path / "in", "--out", tmp_path / "out", "--allow-missing")
    assert status == 0
    assert "1 train; 4 dropped" in out
    assert "4 of them name no image" in err


def test_links_to_folders_outside_are_listed(tmp_path: Path) -> None:
    """As those to files; and so is a loop, or a second way to the same folder, which does not hang."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "0.png").write_bytes(encode_image(picture(0)))
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "in" / "b" / "1.png").write_bytes(encode_image(picture(1)))
    os.symlink(tmp_path / "elsewhere", tmp_path / "in" / "a")
    os.symlink(tmp_path / "in", tmp_path / "in" / "b" / "up")
    os.symlink(tmp_path / "in" / "b", tmp_path / "in" / "c")
    found = find(tmp_path / "in")
    assert [(one.place, one.facts["class"]) for one in found] == [("b/1.png", "b")]
    assert sorted(found.passed_over) == [
        ("a", "a link to a folder outside; give that one, or copy it here"),
        ("b/up", "a link to a folder that is read elsewhere"),
        ("c", "a link to a folder that is read elsewhere"),
    ]


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    """The user chose it; so may be one inside that leads to another inside."""
    (tmp_path / "real" / "kept").mkdir(parents=True)
    (tmp_path / "real" / "kept" / "0.png").write_bytes(encode_image(picture(0)))
    os.symlink(tmp_path / "real", tmp_path / "in")
    assert [one.place for one in find(tmp_path / "in")] == ["kept/0.png"]


def test_a_link_to_a_file_outside_is_no_image(tmp_path: Path) -> None:
    """Whoever made the folder would choose which file of this machine becomes an image; one inside is one."""
    for place in ("secret", "in/a"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "0.png").write_bytes(encode_image(picture(len(place))))
    os.symlink(tmp_path / "secret" / "0.png", tmp_path / "in" / "a" / "1.png")
    os.symlink("0.png", tmp_path / "in" / "a" / "2.png")
    os.mkfifo(tmp_path / "in" / "a" / "3.png")
    os.symlink("/dev/zero", tmp_path / "in" / "a" / "4.png")
    found = find(tmp_path / "in")
    assert [one.place for one in found if readable(one)] == ["a/0.png", "a/2.png"]
    assert "outside the folder" in dict(found.passed_over)["a/1.png"]


def test_tables_that_are_not_understood_are_named(tmp_path: Path, shards: Callable[..., tuple[int, str, str]]) -> None:
    """Folder names are never taken for classes beside such a table, unless that is asked for."""
    (tmp_path / "in" / "part_1").mkdir(parents=True)
    (tmp_path / "in" / "part_1" / "0.png").write_bytes(encode_image(picture(0)))
    (tmp_path / "in" / "meta.tsv").write_text("photo\tdx\n0\tmel\n")
    status, _, err = shards("make", tmp_path / "in", "--out", tmp_path / "out")
    assert status == 2
    assert all(word in err for word in ("meta.tsv", "(it has photo, dx)", "--file-column", "--class-column"))
    words = ("--file-column", "Photo", "--class-column", "DX")
    assert shards("make", tmp_path / "in", "--out", tmp_path / "named", *words)[0] == 0
    assert shards("make", tmp_path / "in", "--out", tmp_path / "folders", "--by-folders")[0] == 0
    classes = [next(iter(find(tmp_path / "in", Labels(from_folders=True)))).facts["class"]]
    assert classes == ["part_1"]


@pytest.mark.parametrize("name", ["photos", "photos.v2"])
@pytest.mark.parametrize("given", [".", "../{name}", "{name}/"])
def test_a_table_beside_the_folder_is_found_however_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, given: str
) -> None:
    """The current folder is `.`, which has no name to put another ending to."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "0.png").write_bytes(encode_image(picture(0)))
    (tmp_path / f"{name}.csv").write_text("file,class\n0.png,mel\n")
    monkeypatch.chdir(tmp_path if given.endswith("/") else tmp_path / name)
    assert [next(iter(find(Path(given.format(name=name))))).facts["class"]] == ["mel"]

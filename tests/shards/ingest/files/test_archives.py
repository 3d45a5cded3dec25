"""A tar may hold a name twice: as where it is unpacked, the last one counts."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from shards.ingest.files.archives import members


def test_of_equal_names_the_last_counts_and_the_others_say_so(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for text in (b"one", b"two", b"three"):
            info = tarfile.TarInfo("x/a.jpg" if text != b"two" else "/x/./b.jpg")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    first, other, last = members(tmp_path / "a.tar", tmp_path)
    assert (other.place, last.place, last.read()) == ("x/b.jpg", "x/a.jpg", b"three")
    assert first.problem == "a later member of the tar has its name"
    assert first.place not in (other.place, last.place)

"""Plain USTAR, as other tools read and write it."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from shards import ShardSet, decode_image

Make = Callable[..., Path]


def test_tarfile_and_gnu_tar_read_them(make_shards: Make) -> None:
    """Plain USTAR: every member by name and size, owner and time 0, no directories."""
    sidecar = ShardSet.open(folder := make_shards(4)).sidecars[0]
    with tarfile.open(folder / sidecar.tar, "r:", errorlevel=2) as archive:
        members = archive.getmembers()
        assert archive.pax_headers == {}
        for member in members:
            assert member.isreg()
            assert (member.mtime, member.uid, member.gid, member.mode, member.uname) == (0, 0, 0, 0o644, "")
            assert member.type == tarfile.REGTYPE
        raw = archive.extractfile(members[2])
        assert raw is not None
        assert decode_image(raw.read()).shape == (12, 12, 3)
    listed = subprocess.run(["tar", "-tf", folder / sidecar.tar], capture_output=True, text=True, check=True)
    assert not listed.stderr
    assert (
        listed.stdout.split()
        == [m.name for m in members]
        == [f"{row.id}.{ext}" for row in sidecar.samples for ext in ("cls", "json", "png")]
    )


def test_headers_are_those_of_tarfile() -> None:
    """Python's tarfile writes the same bytes except the device numbers, which GNU tar writes as we do."""
    from shards.format import tar

    for name, size in (("a-0001.json", 0), ("x" * 95 + ".webp", 123456), ("b.cls", 8**11 - 1)):
        info = tarfile.TarInfo(name)
        info.size = size
        ours, theirs = tar.header(name, size), info.tobuf(tarfile.USTAR_FORMAT)
        assert (ours[:148], ours[156:329], ours[345:]) == (theirs[:148], theirs[156:329], theirs[345:])
        assert tarfile.TarInfo.frombuf(ours, "ascii", "strict").size == size
        assert tar.parse(tar.header(name, size)) == (name, size)

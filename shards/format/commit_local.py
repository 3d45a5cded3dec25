"""Committing a shard in a folder: tar, index and sidecar get their final names, the sidecar last."""

from __future__ import annotations

import filecmp
import os
from contextlib import suppress
from pathlib import Path

from dermforge.common import atomic
from dermforge.common.digests import digest_file
from dermforge.common.errors import CheckFailed
from shards.format.interop import dali_index
from shards.format.schema import Sidecar
from shards.format.withdrawn import Withdrawn
from shards.storage.location import Folder, is_url


def commit_shard(file: atomic.Pending, sidecar: Sidecar, *, replace: bool = False) -> Sidecar:
    """Give a finished tar and its sidecar their final names, the sidecar last; returns it as it was written.

    A shard that is already there with the same bytes is left as it is. The new sidecar is complete on disk before the
    tar is renamed, and it stays there if anything at all ends the commit between the two: `finish_commits` finishes it.

    Raises
    ------
    CheckFailed
        The folder already holds this shard with other content, and `replace` is False; or an image was withdrawn.
    """
    folder = file.final.parent
    record = folder / f"{sidecar.stem}.json"
    file.sync()
    with atomic.locked(folder), _new_sidecar(record) as side:
        sidecar = Withdrawn.of(Folder(folder), os.listdir(folder)).accepted(folder, sidecar)
        side.write([sidecar.to_bytes()])
        side.sync()
        if not replace and (there := committed(record)):
            if not _same(there, sidecar, file):
                raise CheckFailed(
                    f"{file.final} is already there with other content (sha256 {there.sha256[:12] or 'unknown'}, "
                    f"{there.n} samples; now {sidecar.sha256[:12] or 'unknown'}, {sidecar.n}); write to another "
                    "folder, or remove the old shard and its sidecar"
                )
            return sidecar
        side.keep = True
        try:
            file.commit()
            atomic.write_whole(folder / f"{sidecar.stem}.idx", dali_index(sidecar))
            side.commit()
        except BaseException:
            side.keep = not file.path.exists()  # the tar has its name, so only this sidecar describes it
            raise
        return sidecar


def committed(record: Path) -> Sidecar | None:
    """The sidecar at this path, if it is whole and its tar has the right size; else None."""
    try:
        sidecar = _read(record)
        there = record.with_suffix(".tar").stat().st_size == sidecar.bytes
    except (FileNotFoundError, CheckFailed):
        return None
    return sidecar if there else None


def finished(location: str | Path, name: str) -> dict[int, Sidecar]:
    """The committed shards of a name by number, for resuming: whole sidecars whose tars have the right size.

    Interrupted commits are finished first. `location` is a folder or an fsspec address.

    Raises
    ------
    CheckFailed
        A shard still holds an image that was withdrawn; the purge has to be finished first.
    """
    if is_url(location):
        from shards.format.commit_bucket import finished_in

        return finished_in(str(location), name)
    folder = Path(location)
    finish_commits(folder)
    found = [committed(path) for path in sorted(folder.glob(f"{name}-" + "[0-9]" * 6 + ".json"))]
    done = {sidecar.index: sidecar for sidecar in found if sidecar}
    for fault in Withdrawn.of(Folder(folder), os.listdir(folder)).faults(folder, done.values()) if done else ():
        raise CheckFailed(fault)
    return done


def finish_commits(location: str | Path) -> list[str]:
    """Finish interrupted commits: the tar has its name, its sidecar still has a temporary one; returns those tars."""
    if is_url(location):
        from shards.format.commit_bucket import finish_uploads

        return finish_uploads(str(location))
    with atomic.locked(Path(location)):
        return _finish(Path(location))


def _new_sidecar(record: Path) -> atomic.Pending:
    """A sidecar to be written; what a killed writer left of this one is finished before it is swept."""
    _finish(record.parent)
    return atomic.Pending(record)


def _finish(folder: Path) -> list[str]:
    done = []
    for path in atomic.leftovers(folder):
        if ".json." not in path.name:
            continue
        with atomic.abandoned(path) as is_mine, suppress(FileNotFoundError, CheckFailed):
            if is_mine and digest_file(folder / (sidecar := _read(path)).tar) == sidecar.sha256:
                atomic.write_whole(folder / f"{sidecar.stem}.idx", dali_index(sidecar))
                path.replace(folder / f"{sidecar.stem}.json")
                atomic.sync_folder(folder)
                done.append(sidecar.tar)
    return done


def _read(path: Path) -> Sidecar:
    return Sidecar.from_bytes(path.read_bytes(), str(path))


def _same(there: Sidecar, sidecar: Sidecar, file: atomic.Pending) -> bool:
    if there.sha256 and sidecar.sha256:
        return (there.sha256, there.bytes) == (sidecar.sha256, sidecar.bytes)
    return filecmp.cmp(file.path, file.final, shallow=False)  # one of them was written without digests

"""The engine bundle on disk: a manifest with a digest for every file, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dermforge.common import output_folder
from dermforge.common.atomic import is_temporary_of
from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError, first_fault
from dermforge.common.regular_file import open_regular, read_regular
from dermforge.common.sealed_file import is_sealed_json, opened_json, sealed_json
from engines.errors import EngineError
from engines.manifest import MANIFEST, RECORDS, Artefact, Manifest, Record

PIECE = 8 << 20
REBUILD = "build the bundle again with `gen build-engine`"

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Bundle:
    """A bundle's folder and its manifest.

    Attributes
    ----------
    digest
        sha256 of `bundle.json` as it was read. It holds the digest of every file that determines an image.
    """

    folder: Path
    manifest: Manifest
    digest: str

    def find(self, kind: str, backend: str | None = None) -> list[Artefact]:
        """The artefacts of one kind (and backend)."""
        return [a for a in self.manifest.artefacts if a.kind == kind and backend in (None, a.backend)]

    def engine_files(self, backend: str | None = None) -> dict[str, Artefact]:
        """The engine files (of one backend), by the component that each of them computes."""
        return {str(a.component): a for a in self.find("plan", backend)}

    def path(self, artefact: Artefact) -> Path:
        """The full path of an artefact. To open it use `read` or `engines.private_copy`, which see what was hashed."""
        return self.folder / artefact.path

    def verify(self, artefacts: Iterable[Artefact] | None = None) -> None:
        """Check the size and digest of files, all by default.

        Raises
        ------
        EngineError
            A file is missing, truncated or altered.
        """
        for artefact in self.manifest.artefacts if artefacts is None else artefacts:
            for _ in self.pieces(artefact):
                pass

    def pieces(self, artefact: Artefact) -> Iterator[bytes]:
        """The content of a file in pieces. The iteration fails at its end where they are not what was recorded."""
        found = hashlib.sha256()
        with self._opened(artefact) as file:
            while piece := file.read(PIECE):
                found.update(piece)
                yield piece
        self._check(artefact, found.hexdigest())

    def read(self, artefact: Artefact) -> bytes:
        """The content of a file, of which these very bytes were hashed. Raises as `verify`."""
        with self._opened(artefact) as file:
            content = file.read()
        self._check(artefact, digest_bytes(content))
        return content

    def _opened(self, artefact: Artefact) -> FileIO:
        path = self.path(artefact)
        try:
            file = open_regular(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise EngineError(f"{path} is missing from the bundle: build it again with `gen build-engine`") from error
        size = os.fstat(file.fileno()).st_size
        if size == artefact.bytes:
            return file
        file.close()
        raise EngineError(
            f"{path} has {size} bytes, the manifest says {artefact.bytes}: "
            "the file is truncated or altered; copy the bundle again or rebuild it"
        )

    def _check(self, artefact: Artefact, digest: str) -> None:
        if digest != artefact.sha256:
            raise EngineError(
                f"{self.path(artefact)} hashes to {digest[:12]}, the manifest says {artefact.sha256[:12]}: "
                "the file was altered; copy the bundle again or rebuild it"
            )

    def strange(self) -> str | None:
        """The name of a file, link or folder in the bundle's folder that its manifest does not list; or None.

        Libraries look for many names beside the files that they open. What is found would be used, or run. A link in
        the place of a folder is strange as well. One in the place of a file is not: see docs/decisions/0044. What a
        killed writer of a record left is not: nothing looks for its name, and the next writer removes it.
        """
        known = {MANIFEST, *RECORDS, *(a.path for a in self.manifest.artefacts)}
        folders = {str(parent) for name in known for parent in PurePosixPath(name).parents}
        for place in sorted(folders):
            if (self.folder / place).is_dir():
                for name in sorted(str(PurePosixPath(place, one)) for one in os.listdir(self.folder / place)):
                    is_known = name in known or any(is_temporary_of(name, record) for record in RECORDS)
                    if not is_known and (name not in folders or (self.folder / name).is_symlink()):
                        return name
        return None


def read_bundle(folder: Path) -> Bundle:
    """Read and validate a bundle's manifest; no other file is opened.

    Raises
    ------
    EngineError
        There is no bundle, or one of another schema, or a file in its folder that is not listed, or its certificate is
        missing.
    """
    bundle = read_manifest(folder)
    if (name := bundle.strange()) is not None:
        if any(a.path.startswith(f"{name}/") for a in bundle.manifest.artefacts):
            raise EngineError(f"{folder / name} is a link; a bundle holds its folders itself: put the folder there")
        raise EngineError(
            f"{folder} holds {name}, which its {MANIFEST} does not list: nothing else may lie in a bundle, because "
            f"what opens it could use it; move {name} elsewhere, or build the bundle again in a new folder"
        )
    for name in bundle.manifest.certificates:
        if not (folder / name).is_file():
            raise EngineError(
                f"{folder} has no {name}, the certificate that its {MANIFEST} speaks of: copy the bundle again with "
                f"all of its files, or {REBUILD}"
            )
    return bundle


def read_manifest(folder: Path) -> Bundle:
    """`read_bundle` for a folder that may hold other files."""
    path = folder / MANIFEST
    if not path.is_file():
        raise EngineError(f"no engine bundle at {folder}: expected {MANIFEST}; make one with `gen build-engine`")
    content = read_regular(path)
    return Bundle(folder, _parsed(content, path, Manifest), digest_bytes(content))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `bundle.json`. Equal content gives equal bytes, so the digest names the bundle."""
    (folder / MANIFEST).write_bytes(sealed_json(manifest.model_dump_json(indent=1)))


def write_record(bundle: Bundle, name: str, record: Record) -> None:
    """Write the certificate or the timings of a bundle whose manifest is final."""
    named = record.model_copy(update={"bundle": bundle.digest})
    (bundle.folder / name).write_bytes(sealed_json(named.model_dump_json(indent=1)))


def read_record(bundle: Bundle, name: str, kind: type[R]) -> R:
    """The certificate or the timings of a bundle.

    Raises
    ------
    EngineError
        There is no such file, it was altered, or it is of another bundle.
    """
    path = bundle.folder / name
    try:
        record = _parsed(read_regular(path), path, kind)
    except FileNotFoundError as error:
        raise EngineError(f"{path} is missing: {REBUILD}") from error
    if record.bundle != bundle.digest:
        raise EngineError(f"{path} is of another bundle than {MANIFEST}: {REBUILD}")
    return record


def find_record(bundle: Bundle, name: str, kind: type[R]) -> R | None:
    """`read_record`, or None where there is no such file: only a certified bundle must have its certificate."""
    return read_record(bundle, name, kind) if os.path.lexists(bundle.folder / name) else None


def _parsed(content: bytes, path: Path, kind: type[P]) -> P:
    """What is in a JSON file of a bundle's own, after its digest was checked."""
    if not is_sealed_json(content):
        raise EngineError(
            f"{path} does not end in its sha256: an earlier version wrote it, or it was changed; {REBUILD}"
        )
    try:
        return kind.model_validate_json(opened_json(content, path, REBUILD))
    except ValidationError as error:
        raise EngineError(f"{path} is not of this version ({first_fault(error)}): {REBUILD}") from error
    except UserError as error:
        raise EngineError(str(error)) from error


def claim(out: Path, model_digest: str, overwrite: bool = False) -> None:
    """Refuse to build into a folder that is no bundle, holds files of the user, or is of another model.

    Parameters
    ----------
    overwrite
        Allow replacing a bundle of another model, or one that cannot be read.

    Raises
    ------
    UserError, EngineError
        Nothing was changed.
    """
    output_folder.claim(out, "an engine bundle", [MANIFEST])
    if not (out / MANIFEST).is_file():
        return
    try:
        there = read_manifest(out)
    except EngineError as error:
        if overwrite:
            return
        raise EngineError(f"{error}; give another folder, or replace it by `overwrite`") from error
    if (found := there.manifest.model_digest) != model_digest and not overwrite:
        raise EngineError(
            f"{out} is a bundle of another model ({found[:12]} there, {model_digest[:12]} now): give "
            "another folder, or replace it by `overwrite`"
        )
    if (name := there.strange()) is not None:
        raise EngineError(f"{out} holds {name}, which is no part of the bundle: move it, or give another folder")

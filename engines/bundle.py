"""The engine bundle on disk: a manifest with a digest for every file, written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dermforge.common import output_folder
from dermforge.common.digests import digest_file
from engines.errors import EngineError
from engines.pipeline_spec import PipelineSpec

SCHEMA_VERSION = 1
MANIFEST = "bundle.json"
PARITY = "parity.json"
TIMINGS = "timings.json"

UNDIGESTED = (MANIFEST, PARITY, TIMINGS)
KINDS = {
    ".onnx": ("graph", "onnxruntime"),
    ".data": ("weights", "onnxruntime"),
    ".safetensors": ("weights", "torch"),
    ".plan": ("plan", None),
    ".so": ("plan", "torch"),
}

Backend = Literal["onnxruntime", "tensorrt", "tensorrt-rtx", "torch"]
Precision = Literal["fp32", "fp16", "bf16", "fp8"]
CompileMode = Literal["default", "autotune"]
USUAL_MODE: CompileMode = "autotune"


class Artefact(BaseModel):
    """One file of a bundle: what it is for and what it must hash to. An engine file is of the kind "plan"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    bytes: int
    kind: Literal["graph", "weights", "plan", "config"]
    component: str | None = None
    backend: Backend | None = None
    precision: Precision | None = None
    rows: int | None = None
    size: int | None = None
    graph_sha256: str | None = None
    target: str | None = None
    builder: str | None = None
    gpu: str | None = None
    driver: str | None = None

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"{path!r} lies outside the bundle")
        return path


class Manifest(BaseModel):
    """`bundle.json`.

    Attributes
    ----------
    compile_mode
        How torch compiles the bundle where it opens it on CUDA; None where that was not chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), serialize_by_alias=True)

    schema_version: Literal[1] = 1
    backend: Backend
    precision: Precision
    model_digest: str
    spec: PipelineSpec = Field(alias="facts")  # the key in every written manifest
    rows: int
    vae_batch: int
    compile_mode: CompileMode | None = None
    certified: bool
    versions: dict[str, str]
    artefacts: list[Artefact]


@dataclass(frozen=True)
class Bundle:
    """A bundle's folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        """sha256 of the manifest, which holds the digest of every file."""
        return hashlib.sha256((self.folder / MANIFEST).read_bytes()).hexdigest()

    def find(self, kind: str, backend: str | None = None) -> list[Artefact]:
        """The artefacts of one kind (and backend)."""
        return [a for a in self.manifest.artefacts if a.kind == kind and backend in (None, a.backend)]

    def engine_files(self, backend: str | None = None) -> dict[str, Artefact]:
        """The engine files (of one backend), by the component that each of them computes."""
        return {str(a.component): a for a in self.find("plan", backend)}

    def path(self, artefact: Artefact) -> Path:
        """The full path of an artefact."""
        return self.folder / artefact.path

    def verify(self, artefacts: Iterable[Artefact] | None = None) -> None:
        """Check the size and digest of files, all by default. Do it before any is deserialised: they are code.

        Raises
        ------
        EngineError
            A file is missing, truncated or altered.
        """
        for artefact in self.manifest.artefacts if artefacts is None else artefacts:
            path = self.path(artefact)
            if not path.is_file():
                raise EngineError(f"{path} is missing from the bundle: build it again with `gen build-engine`")
            if path.stat().st_size != artefact.bytes:
                raise EngineError(
                    f"{path} has {path.stat().st_size} bytes, the manifest says {artefact.bytes}: "
                    "the file is truncated or altered; copy the bundle again or rebuild it"
                )
            if (got := digest_file(path)) != artefact.sha256:
                raise EngineError(
                    f"{path} hashes to {got[:12]}, the manifest says {artefact.sha256[:12]}: "
                    "the file was altered; copy the bundle again or rebuild it"
                )


def read_bundle(folder: Path) -> Bundle:
    """Read and validate a bundle's manifest; no other file is opened.

    Raises
    ------
    EngineError
        There is no bundle, or one of another schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise EngineError(f"no engine bundle at {folder}: expected {MANIFEST}; make one with `gen build-engine`")
    try:
        return Bundle(folder, Manifest.model_validate_json(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        raise EngineError(
            f"{path} is not a manifest of schema {SCHEMA_VERSION}: {'.'.join(map(str, first['loc']))}: {first['msg']}; "
            "rebuild the bundle with this version"
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `bundle.json`. Equal content gives equal bytes, so the digest names the bundle."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n")


def describe(folder: Path) -> list[Artefact]:
    """An artefact for every file of a folder, except the manifest, the certificate and the timings."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in UNDIGESTED)
    return [describe_file(folder, path) for path in files]


def describe_file(folder: Path, path: Path) -> Artefact:
    """An artefact with what one file's name and content say."""
    kind, backend = KINDS.get(path.suffix, ("config", None))
    return Artefact.model_validate(
        {
            "path": path.relative_to(folder).as_posix(),
            "sha256": digest_file(path),
            "bytes": path.stat().st_size,
            "kind": kind,
            "backend": backend,
            "component": path.parent.name if kind != "config" else None,
        }
    )


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
        there = read_bundle(out).manifest
    except EngineError as error:
        if overwrite:
            return
        raise EngineError(f"{error}; give another folder, or replace it by overwrite") from error
    if there.model_digest != model_digest and not overwrite:
        raise EngineError(
            f"{out} is a bundle of another model ({there.model_digest[:12]} there, {model_digest[:12]} now): give "
            "another folder, or replace it by overwrite"
        )
    known = {*UNDIGESTED, *(a.path for a in there.artefacts)}
    files = (p.relative_to(out).as_posix() for p in sorted(out.rglob("*")) if not p.is_dir())
    strange = next((name for name in files if name not in known), None)
    if strange is not None:
        raise EngineError(f"{out} holds {strange}, which is no part of the bundle: move it, or give another folder")

"""What `bundle.json` says: the facts of a pipeline, and each file of its bundle with what it must hash to."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dermforge.common.digests import digest_file
from dermforge.common.use_certificate import USE
from engines.pipeline_spec import PipelineSpec

SCHEMA_VERSION = 2
MANIFEST = "bundle.json"
PARITY = "parity.json"
TIMINGS = "timings.json"
#: The certificate of the base, where a bundle has one: see `engines.base_first`.
PARITY_BASE = "parity-base.json"

#: What differs between builds of equal bundles. They name their bundle, and not the other way round.
RECORDS = (PARITY, PARITY_BASE, TIMINGS, USE)
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


class BaseDenoiser(BaseModel):
    """The pipeline whose denoiser takes the first steps; the other parts are the bundle's."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), serialize_by_alias=True)

    spec: PipelineSpec = Field(alias="facts")
    model_digest: str


class Manifest(BaseModel):
    """`bundle.json`, which ends in a digest of its own beside these keys.

    Attributes
    ----------
    compile_mode
        How torch compiles the bundle where it opens it on CUDA; None where that was not chosen.
    base
        Of a bundle of a few-step student that has its teacher's denoiser too.
    int8
        Text encoders whose weights are in 8 bits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), serialize_by_alias=True)

    schema_version: Literal[2] = 2
    backend: Backend
    precision: Precision
    model_digest: str
    spec: PipelineSpec = Field(alias="facts")  # the key in every written manifest
    rows: int
    vae_batch: int
    compile_mode: CompileMode | None = None
    base: BaseDenoiser | None = None
    int8: tuple[str, ...] = ()
    certified: bool
    versions: dict[str, str]
    artefacts: list[Artefact]

    @property
    def certificates(self) -> tuple[str, ...]:
        """The certificates of parity that must lie beside it."""
        return (PARITY, *([PARITY_BASE] if self.base else [])) if self.certified else ()


class Record(BaseModel):
    """What every build measures anew: `parity.json`, `parity-base.json` and `timings.json`.

    Attributes
    ----------
    bundle
        The digest of the bundle that was measured.
    """

    bundle: str = ""


def graphs(spec: PipelineSpec) -> dict[str, str]:
    """The graph of each component that an engine runs, by its path in a bundle."""
    texts = {part: f"{part}/model.onnx" for part in spec.text_encoders}
    vae = {part: f"{part}/images.onnx" for part in ("vae_decoder", "vae_encoder")}
    return texts | {spec.denoiser: f"{spec.denoiser}/rows.onnx"} | vae


def describe(folder: Path) -> list[Artefact]:
    """An artefact for every file of a folder, except the manifest, the certificate and the timings."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (MANIFEST, *RECORDS))
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

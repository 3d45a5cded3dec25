"""An engine bundle's manifest and certificate of parity: what a checklist needs of them, checked by their digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dermforge.common.errors import UserError, first_fault
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import is_sealed_json, opened_json

MANIFEST, PARITY = "bundle.json", "parity.json"
AGAIN = "build the bundle again with `gen build-engine`"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Pipeline(_Part):
    family: str
    size: int
    prediction_type: str


class Manifest(_Part):
    backend: str
    precision: str
    model_digest: str
    pipeline: Pipeline = Field(alias="facts")


class Images(_Part):
    n: int
    psnr_worst: float
    largest_difference: int


class Parity(_Part):
    bundle: str
    passed: bool
    smallest_psnr_allowed: float
    images: Images


P = TypeVar("P", bound=_Part)


@dataclass(frozen=True)
class BundleRecord:
    """A bundle: its digest, what it says of itself, and its certificate; None where it was not certified."""

    name: str
    digest: str
    manifest: Manifest
    parity: Parity | None


def read_bundle_record(folder: Path) -> BundleRecord:
    """The records of a bundle; no graph or weight is opened.

    Raises
    ------
    UserError
        One of them was altered, or is of another bundle or version.
    """
    content = read_regular(folder / MANIFEST)
    digest, manifest = hashlib.sha256(content).hexdigest(), _parsed(content, folder / MANIFEST, Manifest)
    parity = None
    if (folder / PARITY).is_file():
        parity = _parsed(read_regular(folder / PARITY), folder / PARITY, Parity)
        if parity.bundle != digest:
            raise UserError(f"{folder / PARITY} is of another bundle than {MANIFEST}; {AGAIN}")
    return BundleRecord(folder.resolve().name, digest, manifest, parity)


def _parsed(content: bytes, path: Path, kind: type[P]) -> P:
    if not is_sealed_json(content):
        raise UserError(f"{path} does not end in its sha256; {AGAIN}")
    try:
        return kind.model_validate_json(opened_json(content, path, AGAIN))
    except ValidationError as error:
        raise UserError(f"{path} is not of this version ({first_fault(error)}); {AGAIN}") from error

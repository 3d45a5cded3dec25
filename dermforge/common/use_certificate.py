"""The certificate of use: what `evalsuite use` found when it compared a generator's images with its teacher's.

A generator that draws other images than its teacher (few steps, lower precision, another solver or decoder) is
certified by what its images are for. The record is of one bundle, whose digest it names, and of the settings, classes
and skin types that were compared. `gen attach` puts it into that bundle as `use.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from dermforge.common.errors import UserError, first_fault
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import is_sealed_json, opened_json, sealed_json

USE = "use.json"
Verdict = Literal["pass", "fail", "cannot be determined"]
Value = str | int | float | bool | None

#: What of a plan row or an image's record is no setting of the generator: which image it is, and what came of it.
_NO_SETTING = {
    *("id", "class", "label", "group", "parent", "prompt", "negative_prompt", "seed"),
    *("origin", "attributes", "cluster", "split", "scores", "params", "width", "height"),
    *("image_sha256", "plan_digest", "model_digest", "bundle_digest"),
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Row(_Part):
    """One comparison of student and teacher.

    Attributes
    ----------
    measure, cell
        What was compared, and in which images: "all", a class or a skin type.
    scale
        Whether `value` is student less teacher, or student over teacher.
    n
        Images (or test images) that the row rests on.
    low, high
        The interval of `value` at the certificate's confidence; None where there is none.
    least, most
        The margin, its ends included; None: no end on this side.
    note
        Why nothing can be said, or what else there is to know.
    """

    measure: str
    cell: str
    scale: Literal["difference", "ratio"]
    n: int
    teacher: float | None
    student: float | None
    value: float | None
    low: float | None
    high: float | None
    least: float | None
    most: float | None
    verdict: Verdict
    note: str = ""


class Cell(_Part):
    """How many images of a class, a skin type and a strategy each side has.

    Attributes
    ----------
    settings
        By which of the student's settings its images were drawn: places in that list.
    """

    label: str
    group: str | None
    strategy: str | None
    n: int
    settings: tuple[int, ...]


class ImagesUsed(_Part):
    """A set of images that took part.

    Attributes
    ----------
    digest
        sha256 of the id and the digest of every image.
    bundles, models, plans
        The digests that its shards name; none for real images.
    settings
        Each combination of settings by which its images were drawn.
    """

    digest: str
    images: int
    bundles: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    settings: tuple[dict[str, Value | tuple[Value, ...]], ...] = ()


class UseCertificate(_Part):
    """`use.json`, which ends in a digest of its own beside these keys.

    Attributes
    ----------
    bundle
        The digest of the bundle that drew all of the student's images; "" where there is none, or more than one.
    verdict
        Pass where every row passes, fail where one fails.
    confidence, fail_confidence
        Of the intervals that must lie within their margins for a pass, and outside of them for a fail.
    margins_sha256
        Of the file of margins that was given; None: the margins of this version.
    real
        The real images by what they served for.
    """

    schema_version: Literal[1] = 1
    bundle: str
    verdict: Verdict
    confidence: float
    fail_confidence: float
    teacher: ImagesUsed
    student: ImagesUsed
    real: dict[str, ImagesUsed]
    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    margins_sha256: str | None = None
    extractors: dict[str, str]
    classifier: str
    seeds: int
    ratio: float
    notes: tuple[str, ...] = ()
    leakage: tuple[str, ...] = ()
    created_by: str

    @model_validator(mode="after")
    def _places(self) -> UseCertificate:
        known = range(len(self.student.settings))
        if wrong := sorted({at for cell in self.cells for at in cell.settings} - set(known)):
            raise ValueError(f"cells name settings {wrong}; the student has {len(known)}")
        return self

    def content(self) -> bytes:
        """The file."""
        return sealed_json(self.model_dump_json(indent=1))

    def counts(self) -> dict[Verdict, int]:
        """Rows by their verdict."""
        verdicts: tuple[Verdict, ...] = ("pass", "fail", "cannot be determined")
        return {one: sum(row.verdict == one for row in self.rows) for one in verdicts}

    def sentence(self) -> str:
        """The verdict in words, with the first rows that fail."""
        found = self.counts()
        text = f"{self.verdict}: {found['pass']} of {len(self.rows)} rows are within their margins"
        text += f", {found['fail']} outside" if found["fail"] else ""
        open_ = found["cannot be determined"]
        text += f", {open_} cannot be determined" if open_ else ""
        failed = [f"{row.measure} ({row.cell})" for row in self.rows if row.verdict == "fail"]
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        return text + (f"; it fails in {', '.join(failed[:3])}{more}" if failed else "")

    def uncovered(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """What of a plan the certificate does not speak of, in words; empty where it covers all rows.

        Parameters
        ----------
        rows
            Of the plan, with the keys of its columns.
        """
        settings = [dict(one) for one in self.student.settings]
        compared = {(one.label, one.group, one.strategy): [settings[at] for at in one.settings] for one in self.cells}
        for row in rows:
            cell, own = (row["class"], row["group"], row["strategy"]), settings_of(row)
            of = f"images of {' x '.join(str(part) for part in cell if part)}"
            if cell not in compared:
                return f"{of} were not compared"
            if own not in compared[cell]:
                known = next(iter(compared[cell]), {})
                other = ", ".join(f"{name} {value}" for name, value in own.items() if known.get(name) != value)
                images = of if own in settings else "images"
                return f"{images} drawn with {other or 'these settings'} were not compared"
        return ""


def settings_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the generator in a plan row or in the record of an image; without those that are not set.

    No steps by a base is as good as none named, which the records of images say where no image of a run has any.
    """
    told = {name: value for name, value in row.items() if name not in _NO_SETTING and value is not None}
    return {name: value for name, value in told.items() if name != "base_steps" or value}


def read_use_certificate(path: Path) -> tuple[UseCertificate, bytes]:
    """A certificate of use, and the bytes of its file.

    Raises
    ------
    UserError
        It is missing, damaged, or no certificate of this version.
    """
    remedy = "make it again with `evalsuite use`"
    try:
        content = read_regular(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"no certificate of use at {path}; make one with `evalsuite use`") from error
    if not is_sealed_json(content):
        raise UserError(f"{path} does not end in its sha256, so it is not what `evalsuite use` wrote; {remedy}")
    try:
        return UseCertificate.model_validate_json(opened_json(content, path, remedy)), content
    except ValidationError as error:
        raise UserError(f"{path} is no certificate of use of this version ({first_fault(error)}); {remedy}") from error

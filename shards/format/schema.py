"""The records of one image and of one shard, validated wherever they are read."""

from __future__ import annotations

import builtins
import re
from collections import Counter
from typing import Literal, get_args

from pydantic import AliasChoices, Field, ValidationError, model_validator

from dermforge.common.errors import CheckFailed, UserError, first_fault
from dermforge.common.version import __version__
from shards.format import tar
from shards.format.provenance import Certificates, Provenance
from shards.format.record import DIGEST_PATTERN, NO_DIGEST, Record, canonical_json, sign

Origin = Literal["real", "synthetic", "phantom"]
Split = Literal["train", "validation", "test"]
Extension = Literal["cls", "jpg", "json", "png", "webp"]

SPLITS: tuple[str, ...] = get_args(Split)
IMAGE_EXTENSIONS: tuple[Extension, ...] = ("jpg", "png", "webp")
#: With ".webp" or ".json" an id just fits USTAR's 100 characters.
ID_LENGTH = 95
#: No dots: webdataset cuts a key at the first dot.
ID_PATTERN = rf"^[A-Za-z0-9_-]{{1,{ID_LENGTH}}}$"
NAME_PATTERN = r"^[A-Za-z0-9_-]{1,80}$"
#: What to do about a damaged shard.
REMEDY = "write the shard again, or save what is whole with `shards repair`"
#: The names of the two files of a shard.
SHARD = re.compile(r"^[A-Za-z0-9_-]{1,80}-[0-9]{6}\.(tar|json)$")

#: `class` is a keyword in Python, so the field is `label` in code and `class` in every file.
_CLASS = AliasChoices("class", "label")


class ImageFacts(Record):
    """What both the tar and the sidecar say of an image.

    Attributes
    ----------
    label
        The class.
    group
        Skin type: a tone group, a Fitzpatrick type, or None where unknown.
    attributes
        Other columns to group by, such as sex, age band or a second rater's skin type.
    cluster
        Patient or family of duplicates; no cluster may cross a split.
    parent
        Id of the real image from which this one was made.
    image_sha256
        Of the encoded image.
    """

    id: str = Field(pattern=ID_PATTERN)
    origin: Origin
    label: str = Field(validation_alias=_CLASS, serialization_alias="class", min_length=1)
    group: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)
    cluster: str | None = None
    split: Split | None = None
    strategy: str | None = None
    parent: str | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    image_sha256: str = Field(default="", pattern=DIGEST_PATTERN)


class Sample(ImageFacts):
    """One image: what it shows, where it comes from and, if it is synthetic, everything that decides its pixels.

    Attributes
    ----------
    width, height
        In pixels. The writer fills in 0, and an `image_sha256` that is "".
    base_steps
        How many of the first steps the base of a few-step model took; None where it took none in the whole run.
    params
        The known truth of a phantom.
    """

    width: int = Field(default=0, ge=0, le=65535)
    height: int = Field(default=0, ge=0, le=65535)
    prompt: str | None = None
    negative_prompt: str | None = None
    mask: str | None = None
    seed: int | None = None
    solver: str | None = None
    steps: int | None = None
    guidance: float | None = None
    guidance_interval: tuple[float, float] | None = None
    strength: float | None = None
    base_steps: int | None = None
    size: int | None = None
    plan_digest: str | None = None
    model_digest: str | None = None
    bundle_digest: str | None = None
    params: dict[str, float | str | int] = Field(default_factory=dict)

    def canonical(self) -> bytes:
        """Without `base_steps` where it is None, as samples were before there was a base."""
        values = self.model_dump(by_alias=True)
        return canonical_json({key: value for key, value in values.items() if key != "base_steps" or value is not None})


class SidecarRow(ImageFacts):
    """One image in a sidecar, and where its members lie in the tar.

    Attributes
    ----------
    offset, bytes
        Of the whole sample, from its first header to the padding after its last member.
    members
        Extension -> (offset of the content, size).
    record_sha256
        Of the JSON; "" where the shard was written without digests, or by an early development version.
    """

    offset: int = Field(ge=0)
    bytes: int = Field(ge=0)
    members: dict[Extension, tuple[int, int]]
    record_sha256: str = Field(default="", pattern=DIGEST_PATTERN)

    @property
    def ext(self) -> Extension:
        """The extension of the image."""
        return next(e for e in IMAGE_EXTENSIONS if e in self.members)


class Count(Record):
    """The number of images in one cell."""

    label: str = Field(validation_alias=_CLASS, serialization_alias="class")
    group: str | None
    strategy: str | None
    split: Split | None
    n: int


class Sidecar(Record):
    """The commit record of a shard: `name-000042.json` next to `name-000042.tar`.

    Attributes
    ----------
    digest
        sha256 of this file, computed with zeros in place of the digest.
    sha256, bytes
        Of the tar. The digest is "" where the shard was written without digests.
    classes
        The number in a `cls` member is a position in this list.
    lineage
        Ids of the real images on which the generating model was trained.
    withdrawn
        Real images that had been withdrawn from the set when this was written; their records have to be there.
    certificates
        Which certificates the generator had for these images; None where that is not known.
    """

    schema_version: Literal[1] = 1
    digest: str = Field(default=NO_DIGEST, pattern=DIGEST_PATTERN)
    name: str = Field(pattern=NAME_PATTERN)
    index: int = Field(ge=0, le=999_999)
    sha256: str = Field(pattern=DIGEST_PATTERN)
    bytes: int = Field(ge=0)
    n: int = Field(ge=0)
    classes: list[str]
    counts: list[Count]
    samples: list[SidecarRow]
    plan_digest: str | None = None
    bundle_digest: str | None = None
    model_digest: str | None = None
    lineage: list[str] = Field(default_factory=list)
    withdrawn: list[str] = Field(default_factory=list)
    certificates: Certificates | None = None
    created_by: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Sidecar:
        if self.n != len(self.samples):
            raise ValueError(f"n is {self.n}, but {len(self.samples)} samples are listed")
        ids = [row.id for row in self.samples]
        if len(set(ids)) != self.n:
            raise ValueError(f"the id {Counter(ids).most_common(1)[0][0]!r} is listed twice")
        known, end = set(self.classes), 0
        for row in self.samples:
            if row.label not in known:
                raise ValueError(f"{row.id} is of the class {row.label!r}, not one of the classes")
            if not {"cls", "json"} < set(row.members) or len(row.members) != 3:
                raise ValueError(f"{row.id} has {', '.join(row.members)}; expected cls, json and an image")
            if row.offset != end:
                raise ValueError(f"{row.id} begins at byte {row.offset}, the sample before it ends at {end}")
            for at, size in sorted(row.members.values()):
                if at != end + tar.BLOCK or size < 0:
                    raise ValueError(f"a member of {row.id} lies at byte {at}; expected {end + tar.BLOCK}")
                end = at + size + len(tar.padding(size))
            if end != row.offset + row.bytes:
                raise ValueError(f"{row.id} says it has {row.bytes} bytes, its members {end - row.offset}")
        if end + len(tar.trailer(end)) != self.bytes:  # else there is room for members that are not listed
            raise ValueError(f"samples end at byte {end} of a tar of {self.bytes}")
        return self

    @property
    def provenance(self) -> Provenance:
        return Provenance(
            self.plan_digest, self.bundle_digest, self.model_digest, tuple(self.lineage), self.certificates
        )

    @property
    def stem(self) -> str:
        return shard_stem(self.name, self.index)

    @property
    def tar(self) -> str:
        return f"{self.stem}.tar"

    def canonical(self) -> builtins.bytes:
        """As any record; without `withdrawn` where nothing was, and `certificates` where they are not known."""
        values, newer = self.model_dump(by_alias=True), ("withdrawn", "certificates")
        return canonical_json({name: value for name, value in values.items() if value or name not in newer})

    def to_bytes(self) -> builtins.bytes:
        """The file's content, with its own digest filled in."""
        return sign(self.model_copy(update={"digest": NO_DIGEST}).canonical())

    @classmethod
    def from_bytes(cls, content: builtins.bytes, source: str) -> Sidecar:
        """Read and check a sidecar.

        Raises
        ------
        CheckFailed
            The file is damaged or not a sidecar; `source` names it.
        """
        try:
            sidecar = cls.model_validate_json(content)
        except ValidationError as error:
            raise CheckFailed(f"{source} is not a valid sidecar: {first_fault(error)}; {REMEDY}") from error
        expected = sign(content.replace(sidecar.digest.encode(), NO_DIGEST.encode(), 1))
        if expected != content:
            found = f"its content does not match its digest {sidecar.digest[:12]}"
            raise CheckFailed(f"{source} was changed after it was written: {found}; {REMEDY}")
        return sidecar


def check_name(name: str) -> None:
    """Refuse a name of shards with other characters, such as those of a path.

    Raises
    ------
    UserError
        It has some, or too many.
    """
    if not re.fullmatch(NAME_PATTERN, name) or name.endswith("\n"):
        raise UserError(f"shards cannot be called {name!r}; expected 1 to 80 letters, digits, - or _")


def shard_stem(name: str, index: int) -> str:
    """What the files of a shard are called, without their suffixes; raises as `check_name`."""
    check_name(name)
    return f"{name}-{index:06d}"


def count(samples: list[SidecarRow]) -> list[Count]:
    """The number of images per class, group, strategy and split, sorted."""
    cells = Counter((row.label, row.group, row.strategy, row.split) for row in samples)
    ordered = sorted(cells.items(), key=lambda cell: tuple(str(part or "") for part in cell[0]))
    return [Count(label=c, group=g, strategy=s, split=p, n=n) for (c, g, s, p), n in ordered]


def created_by() -> str:
    """The program and its version, for the record of what it writes."""
    return f"dermforge {__version__}"

"""What made the images of a shard, and what vouches for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from shards.format.record import DIGEST_PATTERN, Record


class Parity(Record):
    """The parity certificate of the bundle that drew the images.

    Attributes
    ----------
    reference
        What the bundle was compared with.
    """

    passed: bool
    reference: str


class Use(Record):
    """The certificate of use of the bundle, where it covers the settings, classes and skin types of the plan.

    Attributes
    ----------
    digest
        sha256 of `use.json`.
    teacher
        Digests of the bundles whose images it was compared with.
    """

    digest: str = Field(pattern=DIGEST_PATTERN)
    verdict: Literal["pass", "fail", "cannot be determined"]
    teacher: tuple[str, ...] = ()


class Certificates(Record):
    """What vouches for the images of a shard, None where nothing does.

    Attributes
    ----------
    use_missing
        Why there is a certificate of use and not for these images; empty where there is none at all, or one for them.
    """

    parity: Parity | None = None
    use: Use | None = None
    use_missing: str = ""


@dataclass(frozen=True)
class Provenance:
    """What made the images of a shard.

    Attributes
    ----------
    lineage
        Ids of the real images on which the generating model was trained.
    certificates
        None where nobody said which there are: real images, images of other tools, shards of earlier versions.
    """

    plan_digest: str | None = None
    bundle_digest: str | None = None
    model_digest: str | None = None
    lineage: tuple[str, ...] = ()
    certificates: Certificates | None = None

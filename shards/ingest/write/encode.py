"""Encodes an image for a set of shards: reduced, by one codec, with its mark where it is synthetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from dermforge.common.errors import UserError
from shards.format.images import decode_image, encode_image
from shards.format.mark import Mark
from shards.format.schema import Sample
from shards.format.writer import ShardSetWriter

if TYPE_CHECKING:
    from shards.ingest.write.make import Candidate


@dataclass(frozen=True)
class Encoding:
    """How images are encoded.

    Attributes
    ----------
    size
        Shorter edge in pixels; larger images are reduced with antialiasing, none is enlarged.
    quality
        Of JPEG and WebP, 1 to 100.
    """

    size: int | None = None
    fmt: str = "png"
    quality: int = 95


def reduce(pixels: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """Reduce the shorter edge to `size` with antialiasing (Lanczos); smaller images stay as they are."""
    height, width = pixels.shape[:2]
    if size is None or min(height, width) <= size:
        return pixels
    scale = size / min(height, width)
    target = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.LANCZOS))


def write(writer: ShardSetWriter, c: Candidate, encoding: Encoding) -> None:
    """Encode an image and append it; a synthetic one keeps its mark, or gets one."""
    pixels = reduce(decode_image(c.read()), encoding.size)
    facts: dict[str, Any] = c.found.facts
    try:
        sample = Sample.model_validate(
            {
                "id": c.id,
                "origin": c.origin,
                "class": facts["class"],
                "group": facts.get("group"),
                "attributes": facts["attributes"],
                "cluster": c.cluster or None,
                "split": c.split or None,
                "strategy": facts.get("strategy"),
                "parent": facts.get("parent"),
                "width": pixels.shape[1],
                "height": pixels.shape[0],
            }
        )
    except ValidationError as error:
        raise UserError(f"{c.found.name}: {error.errors()[0]['msg']}") from error
    writer.add(sample, encode_image(pixels, encoding.fmt, encoding.quality, _kept_mark(c)), encoding.fmt)


def _kept_mark(c: Candidate) -> Mark | None:
    """A drawn phantom says so only where its file does: who made it is not known."""
    if c.origin != "synthetic":
        return c.mark
    system = c.found.facts["attributes"].get("generator", "")
    return Mark("trainedAlgorithmicMedia", system) if c.mark is None else replace(c.mark, system=system)

"""A plain folder is read through the same interface as shards."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shards_helpers import picture

from dermforge.common.errors import DataWarning
from shards import UserError, open_data
from shards.format.find_mark import mark_of
from shards.format.images import decode_image, encode_image, image_format
from shards.format.mark import Mark, packet
from shards.ingest.folder import stored


def test_plain_folder_reads_like_shards(photos: Path) -> None:
    """A table that names missing files is refused; without them the folder is read."""
    with pytest.raises(UserError, match=r"names 1 files that are not in it .*lost.png"):
        open_data(photos)
    text = (photos / "labels.csv").read_text().splitlines()
    (photos / "labels.csv").write_text("\n".join(line for line in text if "lost" not in line and "torn" not in line))
    with pytest.warns(DataWarning, match=r"1 labels\.csv does not list it"):
        data = open_data(photos)
    assert data.where(cls="a", group="1").n > 0
    sample, image = next(iter(data.images()))
    assert sample.attributes == {} or sample.attributes == {"sex": "f"}
    assert image.shape == (64, 64, 3)


def test_photographs_are_upright_and_other_formats_readable(tmp_path: Path) -> None:
    """What commands that read a raw folder see is what `shards make` writes."""
    image = Image.fromarray(picture(1)[:, :40])
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(picture(2)).save(tmp_path / "scan.tif")
    (tmp_path / "phone.heic").write_bytes(b"none")
    with pytest.warns(DataWarning, match="1 files are no images of the set: 1 HEIC is not read"):
        data = open_data(tmp_path)
    sizes = {sample.id: (sample.width, sample.height) for sample, _ in data.samples()}
    assert sizes == {"turned": (64, 40), "scan": (64, 64)}
    assert {sample.id: pixels.shape[:2] for sample, pixels in data.images()} == {"turned": (40, 64), "scan": (64, 64)}
    assert {image_format(encoded) for _, encoded in data.samples()} == {"jpg", "png"}


@pytest.mark.parametrize("fmt", ["TIFF", "BMP", "GIF"])
def test_other_formats_are_stored_as_png_of_the_same_pixels(fmt: str) -> None:
    image, out = Image.fromarray(picture(2)), io.BytesIO()
    (image.quantize(64) if fmt == "GIF" else image).save(out, fmt)
    assert image_format(stored(out.getvalue())) == "png"
    np.testing.assert_array_equal(decode_image(stored(out.getvalue())), decode_image(out.getvalue()))
    jpeg = encode_image(picture(2), "jpg")
    assert stored(jpeg) is jpeg


def test_a_mark_survives_the_change_of_format() -> None:
    out, mark = io.BytesIO(), Mark("trainedAlgorithmicMedia", digest="a" * 64)
    Image.fromarray(picture(2)).save(out, "TIFF", tiffinfo={700: packet(mark)})
    assert mark_of(stored(out.getvalue())) == replace(mark, system="")

"""Encoding and decoding of JPEG, PNG and WebP, with limits on what a header may claim."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from dermforge.common.errors import UserError

MAX_BYTES = 256 << 20
MAX_PIXELS = 64 << 20

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def image_format(data: bytes) -> str:
    """jpg, png or webp, by the first bytes; "" for anything else."""
    if data[:3] == b"\xff\xd8\xff":
        return "jpg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height from the header alone.

    Raises
    ------
    UserError
        Not a JPEG, PNG or WebP image, or too large.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"an image of {len(data)} bytes; at most {MAX_BYTES} are read")
    form = image_format(data)
    try:
        if form == "jpg":
            height, width = simplejpeg.decode_jpeg_header(data)[:2]
        elif form == "png":
            width, height = struct.unpack(">II", data[16:24])
        elif form == "webp":
            width, height = _open(data).size
        else:
            raise UserError(f"not a JPEG, PNG or WebP image (it begins with {data[:8]!r})")
    except _BROKEN as error:
        raise UserError(f"a broken image: {error}") from error
    if width * height > MAX_PIXELS or not width * height:
        raise UserError(f"an image whose header says {width} x {height} pixels; 1 to {MAX_PIXELS} pixels are read")
    return width, height


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode JPEG, PNG or WebP to RGB, uint8 [H, W, 3]; the header is checked before any pixel is decoded.

    Raises
    ------
    UserError
        Not an image of these formats, or one that is broken, truncated or too large.
    """
    image_size(data)
    try:
        if image_format(data) == "jpg":
            try:
                return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"))
            except ValueError as error:
                if "colorspace" not in str(error).lower():  # Pillow decodes CMYK and YCCK
                    raise
        with _open(data) as image:
            image.load()
            return np.asarray(_to_rgb(image))
    except _BROKEN as error:
        raise UserError(f"a broken image: {error}") from error


def encode_image(image: NDArray[np.uint8], fmt: str = "png", quality: int = 95) -> bytes:
    """Encode RGB, uint8 [H, W, 3], as PNG, JPEG (4:4:4) or WebP; the same pixels give the same bytes.

    Parameters
    ----------
    quality
        Of JPEG and WebP, 1 to 100.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"an image of {image.dtype} {image.shape}; expected uint8 [height, width, 3]")
    if fmt == "jpg":
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "444", fastdct=False))
    out = io.BytesIO()
    if fmt == "png":
        Image.fromarray(image).save(out, "PNG", compress_level=1)  # higher levels cost more time than they save bytes
    elif fmt == "webp":
        Image.fromarray(image).save(out, "WEBP", quality=quality, method=4)
    else:
        raise UserError(f"image format {fmt!r}; expected jpg, png or webp")
    return out.getvalue()


def _open(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is lower than Pillow's limit
        return Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP"))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits: Pillow would clip them to white
        high = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return Image.fromarray(high).convert("RGB")
    return image.convert("RGB")

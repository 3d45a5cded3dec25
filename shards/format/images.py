"""The one reader of images: every format becomes upright sRGB, with limits on what a header may claim.

`simplejpeg` is imported where a JPEG is met: without it, as on a GPU that was lent without a network, all else works.
"""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermforge.common.decoding import decoding
from dermforge.common.errors import UserError
from shards.format import dicom
from shards.format.jpeg_segments import APP1, APP2, segments
from shards.format.mark import Mark, marked
from shards.format.pixels import turned, upright_srgb

MAX_BYTES = 256 << 20
MAX_PIXELS = 64 << 20
_PILLOW = {
    "jpg": ("JPEG", "MPO"),
    "png": ("PNG",),
    "webp": ("WEBP",),
    "tif": ("TIFF",),
    "bmp": ("BMP",),
    "gif": ("GIF",),
}
#: Markers of the JPEG segments with EXIF and with a colour profile, and how these begin.
_PROFILES = {APP1: b"Exif", APP2: b"ICC_PROFILE"}
_BROKEN = "a broken image"
_KINDS = "a JPEG, PNG, WebP, TIFF, BMP, GIF or DICOM image"


def image_format(data: bytes) -> str:
    """jpg, png, webp, tif, bmp, gif or dcm, by the first bytes; "" for anything else."""
    if data[128:132] == b"DICM":  # first: the 128 bytes before may be those of a TIFF (PS3.10, 7.1)
        return "dcm"
    if data[:3] == b"\xff\xd8\xff":
        return "jpg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):  # the latter: BigTIFF
        return "tif"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    return "bmp" if data[:2] == b"BM" and len(data) >= 26 else ""


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height of the upright image, from the header alone.

    Raises
    ------
    UserError
        Not an image of a known format, or too large.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"an image of {len(data)} bytes; at most {MAX_BYTES} are read")
    form = image_format(data)
    turn = 1
    with decoding(_BROKEN):
        if form == "jpg" and not _has_profile(data):
            import simplejpeg

            height, width = simplejpeg.decode_jpeg_header(data)[:2]
        elif form == "png" and data[12:16] == b"IHDR" and b"eXIf" not in data:
            width, height = struct.unpack(">II", data[16:24])
        elif form == "dcm":
            width, height = dicom.size(data)
        elif form:
            with _open(data, form) as image:
                (width, height), turn = image.size, _orientation(image)
        else:
            raise UserError(f"not {_KINDS} (it begins with {data[:8]!r})")
    _check_pixels(width, height)
    return (height, width) if turn in (5, 6, 7, 8) else (width, height)


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode any format to upright sRGB, uint8 [H, W, 3]; the header is checked before any pixel is decoded.

    EXIF orientation and colour profiles are applied, transparency is laid on white, 16 bits are scaled by the range
    that they use: see `shards.format.pixels`. Of an animation, the first picture is taken.

    Raises
    ------
    UserError
        Not an image of these formats, or one that is broken, truncated or too large.
    """
    image_size(data)
    form = image_format(data)
    with decoding(_BROKEN):
        if form == "dcm":
            return dicom.decode(data)
        if form == "jpg" and (pixels := _fast_jpeg(data)) is not None:
            if not _has_profile(data):
                return pixels
            with _open(data, form) as image:
                turn, profile = _orientation(image), image.info.get("icc_profile")
            return pixels if turn == 1 and not profile else turned(upright_srgb(Image.fromarray(pixels), profile), turn)
        with _open(data, form) as image:
            if form == "tif" and getattr(image, "n_frames", 1) > 1:
                raise UserError(f"a TIFF of {getattr(image, 'n_frames', 1)} pictures; expected one: save them as files")
            turn = _orientation(image)
            image.load()
            return turned(upright_srgb(image, image.info.get("icc_profile"), data), turn)


def encode_image(image: NDArray[np.uint8], fmt: str = "png", quality: int = 95, mark: Mark | None = None) -> bytes:
    """Encode RGB, uint8 [H, W, 3], as PNG, JPEG (4:4:4) or WebP; the same pixels and mark give the same bytes.

    Parameters
    ----------
    quality
        Of JPEG and WebP, 1 to 100.
    mark
        How it was made, for an image that no camera took; it changes no pixel.
    """
    data = _encoded(image, fmt, quality)
    return marked(data, mark) if mark else data


def _encoded(image: NDArray[np.uint8], fmt: str, quality: int) -> bytes:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"an image of {image.dtype} {image.shape}; expected uint8 [height, width, 3]")
    if fmt == "jpg":
        import simplejpeg

        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "444", fastdct=False))
    out = io.BytesIO()
    if fmt == "png":
        Image.fromarray(image).save(out, "PNG", compress_level=1)  # higher levels cost more time than they save bytes
    elif fmt == "webp":
        Image.fromarray(image).save(out, "WEBP", quality=quality, method=4)
    else:
        raise UserError(f"image format {fmt!r}; expected jpg, png or webp")
    return out.getvalue()


def _open(data: bytes, form: str) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is lower than Pillow's limit
        image = Image.open(io.BytesIO(data), formats=_PILLOW[form])
    _check_pixels(*image.size)  # the decoder's own size: a PNG may hold a second header
    return image


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or not width * height:
        raise UserError(f"an image whose header says {width} x {height} pixels; 1 to {MAX_PIXELS} pixels are read")


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; Pillow itself turns a TIFF."""
    return 1 if image.format == "TIFF" else int(image.getexif().get(0x0112, 1) or 1)


def _fast_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """RGB by libjpeg-turbo; None where the colours are CMYK or YCCK, which Pillow decodes."""
    import simplejpeg

    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"))
    except ValueError as error:
        if "colorspace" not in str(error).lower():
            raise
        return None


def _has_profile(data: bytes) -> bool:
    """Whether the segments before a JPEG's pixels hold EXIF or a colour profile."""
    return any(marker in _PROFILES and data.startswith(_PROFILES[marker], start) for marker, start, _ in segments(data))

"""From what a file stores to what it shows: orientation, colour profile, transparency and bit depth."""

from __future__ import annotations

import functools
import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from dermforge.common.errors import UserError

#: What lies behind transparent pixels.
BACKGROUND = (255, 255, 255)
#: Depths that sensors and converters write; the pixels are scaled from the least that holds the largest value.
DEPTHS = (8, 10, 12, 16)
#: Pillow's name of each turn that EXIF's orientation asks for.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turned(image: Image.Image, orientation: int) -> NDArray[np.uint8]:
    """The image as EXIF's orientation (1 to 8) shows it, uint8 [H, W, 3]; other numbers change nothing."""
    return np.asarray(image.transpose(_TURNS[orientation]) if orientation in _TURNS else image)


def upright_srgb(image: Image.Image, profile: bytes | None, data: bytes = b"") -> Image.Image:
    """RGB in sRGB: the profile applied, transparency laid on `BACKGROUND`, deep pixels scaled to 8 bits.

    Parameters
    ----------
    image
        Decoded by Pillow, in any mode.
    profile
        The ICC profile in the file; one that cannot be read is passed over, as viewers do.
    data
        The file, from which the deep colours of a PNG are read again, as Pillow cuts them to 8 bits.

    Raises
    ------
    UserError
        Pixels of floats, or deep colours that are too dark once they are cut to 8 bits.
    """
    if image.mode.startswith(("I", "F")):
        return to_srgb(Image.fromarray(scaled(np.asarray(image))), profile)
    if _is_deep(data):
        image = _deep_png(data)
    elif image.format == "TIFF" and image.mode == "RGB" and _deep_tiff(image) and np.asarray(image).max() < 16:
        raise UserError("a TIFF of 16 bits that uses less than 12 of them; save it with 8 bits")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        whole = image.convert("RGBA")
        colours = to_srgb(whole.convert("RGB"), profile)
        below = Image.new("RGB", image.size, BACKGROUND)
        below.paste(colours, mask=whole.getchannel("A"))
        return below
    return to_srgb(image, profile)


def scaled(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Deep pixels as 8 bits: 12 bits in a file of 16 are scaled as 12 bits, so that they do not come out black.

    Raises
    ------
    UserError
        The values are floats.
    """
    if not np.issubdtype(values.dtype, np.integer):
        raise UserError(f"an image of {values.dtype} pixels; expected whole numbers")
    whole = values.astype(np.int64).clip(0)
    most = int(whole.max(initial=0))
    depth = next((depth for depth in DEPTHS if most < 1 << depth), most.bit_length())
    return np.asarray(whole >> (depth - 8), dtype=np.uint8)


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB by the profile (relative colorimetric intent); without a profile the pixels count as sRGB."""
    modes = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
    if profile and (known := _profile(profile)) and modes.get(known.profile.xcolor_space) == image.mode:
        try:
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
            converted = ImageCms.profileToProfile(image, known, _srgb(), renderingIntent=intent, outputMode="RGB")
            return converted if converted is not None else image.convert("RGB")
        except ImageCms.PyCMSError:
            return image.convert("RGB")
    return image.convert("RGB")


@functools.lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.lru_cache(maxsize=16)
def _profile(data: bytes) -> ImageCms.ImageCmsProfile | None:
    """The profile; None where it is broken, or is sRGB itself."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        named = ImageCms.getProfileDescription(profile)
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
    return None if "srgb" in named.casefold() else profile


def _is_deep(data: bytes) -> bool:
    """Whether this is a PNG of 16 bits in colour or with transparency."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 26:
        return False
    depth, colour = struct.unpack(">BB", data[24:26])
    return bool(depth == 16 and colour in (2, 4, 6))


def _deep_png(data: bytes) -> Image.Image:
    import torch
    from torchvision.io import ImageReadMode, decode_png

    whole = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.UNCHANGED).numpy()
    colours, alpha = (whole[:-1], whole[-1:]) if len(whole) in (2, 4) else (whole, whole[:0])
    eight = np.concatenate([scaled(colours), np.asarray(alpha >> 8, dtype=np.uint8)])
    return Image.fromarray(np.ascontiguousarray(eight.transpose(1, 2, 0)))


def _deep_tiff(image: Image.Image) -> bool:
    bits: tuple[int, ...] = getattr(image, "tag_v2", {}).get(258, (8,))
    return max(bits) > 8

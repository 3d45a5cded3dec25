"""DICOM photographs, by pydicom (extra `dicom`): the standard's window, inversion and turn; no other tag is kept."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermforge.common.decoding import decoding
from dermforge.common.errors import UserError
from dermforge.common.extras import how_to_install
from shards.format.pixels import scaled, to_srgb


def size(data: bytes) -> tuple[int, int]:
    """Width and height of the upright image, from the header alone.

    Raises
    ------
    UserError
        Not readable, without pixels, or with several frames; or pydicom is not installed.
    """
    header = _read(data, pixels=False)
    width, height = _number(header, "Columns"), _number(header, "Rows")
    if not width or not height:
        raise UserError("a DICOM file without an image")
    if (frames := _number(header, "NumberOfFrames")) > 1:
        raise UserError(f"a DICOM file of {frames} frames; expected one picture")
    return (height, width) if _number(header, "ImageRotation") in (90, 270) else (width, height)


def decode(data: bytes) -> NDArray[np.uint8]:
    """The picture in sRGB, uint8 [H, W, 3].

    Grey values go through the modality table and the window or table of interest (PS3.3 C.11.1 and C.11.2),
    MONOCHROME1 is inverted, and a rotation or flip that the file asks for is applied (PS3.3 C.10.6).

    Raises
    ------
    UserError
        The pixels cannot be decoded.
    """
    whole = _read(data, pixels=True)
    values, kind = _displayed(data, whole)
    if kind == "PALETTE COLOR":
        values = _eight_bits(values)
    elif kind.startswith("MONOCHROME"):
        values = _windowed(values, whole)
        values = 255 - values if kind == "MONOCHROME1" else values
    image = Image.fromarray(values if values.dtype == np.uint8 else scaled(values))
    image = to_srgb(image, _element(whole, "ICCProfile"))
    if str(_element(whole, "ImageHorizontalFlip")).strip() == "Y":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turn = _number(whole, "ImageRotation")  # clockwise, after the flip
    return np.asarray(image.rotate(-turn, expand=True) if turn else image)


def _read(data: bytes, pixels: bool) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise UserError(f"a DICOM image; to read it, `{how_to_install('dicom')}`") from error
    with decoding("a broken DICOM file"):
        return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=not pixels)


def _element(whole: Any, name: str) -> Any:
    """An element's value, which pydicom converts now; None where there is none."""
    with decoding("a broken DICOM file"):
        return whole.get(name)


def _number(whole: Any, name: str) -> int:
    """An element's value; 0 where there is none."""
    with decoding(f"a broken DICOM file ({name})"):
        return int(whole.get(name) or 0)


def _displayed(data: bytes, whole: Any) -> tuple[NDArray[Any], str]:
    """The pixel values after the tables of the standard, RGB or grey, and their photometric interpretation."""
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
    from pydicom.pixels.utils import pixel_array

    with decoding("a DICOM image that cannot be decoded"):
        values, kind = pixel_array(io.BytesIO(data)), str(whole.PhotometricInterpretation)  # YBR comes as RGB
        if kind == "PALETTE COLOR":
            values = apply_color_lut(values, whole)
        elif kind.startswith("MONOCHROME"):
            values = apply_voi_lut(apply_modality_lut(values, whole), whole)
    return values, kind


def _windowed(values: NDArray[Any], header: Any) -> NDArray[np.uint8]:
    """Grey values after the window, as 8 bits: the window's range where there is one, else the range of the pixels."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":  # a table's result uses all its bits; without one, the stored bits count
        return scaled(values)
    bits = _number(header, "BitsStored")
    low, high = (values.min(), values.max()) if _element(header, "WindowWidth") is None else (0.0, 2.0**bits - 1)
    if _element(header, "RescaleSlope") is not None or values.min() < low or values.max() > high:
        low, high = float(values.min()), float(values.max())
    spread = max(high - low, 1e-9)
    return np.asarray(((values - low) / spread * 255).round().clip(0, 255), dtype=np.uint8)


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    return values if values.dtype == np.uint8 else np.asarray(values >> 8, dtype=np.uint8)

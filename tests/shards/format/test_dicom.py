"""DICOM: its window, inversion and turn by the standard; without pydicom the extra is named."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from shards import UserError
from shards.format.images import decode_image, image_format, image_size

EMPTY = bytes(128) + b"DICM" + bytes(64)


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert image_format(EMPTY) == "dcm"
    with pytest.raises(UserError, match="to read it, `pip install"):
        decode_image(EMPTY)


def written(values: np.ndarray, kind: str, **tags: object) -> bytes:
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = pydicom.dataset.FileDataset("x", {}, file_meta=meta, preamble=bytes(128))
    data.Rows, data.Columns, data.PhotometricInterpretation = values.shape[0], values.shape[1], kind
    data.SamplesPerPixel, data.PixelRepresentation = (3 if values.ndim == 3 else 1), 0
    data.BitsAllocated = data.BitsStored = values.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    if values.ndim == 3:
        data.PlanarConfiguration = 0
    data.PatientName = "Somebody"
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = values.tobytes()
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=False)
    return out.getvalue()


def test_colours_are_as_they_are_and_turned() -> None:
    values = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_image(written(values, "RGB")), values)
    turned = written(values, "RGB", ImageRotation=90, ImageHorizontalFlip="N")
    np.testing.assert_array_equal(decode_image(turned), np.rot90(values, -1))
    assert image_size(turned) == (6, 4)


def test_grey_goes_through_the_window_and_may_be_inverted() -> None:
    values = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    windowed = decode_image(
        written(values, "MONOCHROME2", BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096)
    )
    assert np.abs(windowed[..., 0].astype(int) - np.linspace(0, 255, 64).reshape(8, 8)).max() <= 2
    dark = decode_image(written(values, "MONOCHROME1", BitsStored=12, HighBit=11))
    assert dark[0, 0, 0] > 250 > 5 > dark[-1, -1, 0]


def test_a_dicom_file_that_begins_as_a_tiff_is_dicom() -> None:
    values = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    data = written(values, "RGB")
    np.testing.assert_array_equal(decode_image(b"II*\0" + data[4:]), values)


def test_several_frames_are_refused() -> None:
    with pytest.raises(UserError, match="of 2 frames"):
        image_size(written(np.zeros((4, 4), np.uint8), "MONOCHROME2", NumberOfFrames=2))


@pytest.mark.filterwarnings("ignore")
def test_a_changed_byte_is_an_image_or_a_users_mistake() -> None:
    """Never a traceback: pydicom converts elements when they are asked for, and raises nearly any kind of error."""
    values = np.arange(16, dtype=np.uint16).reshape(4, 4)
    whole = written(values, "MONOCHROME2", WindowCenter=8, WindowWidth=8, RescaleSlope=1, RescaleIntercept=0)
    rng, refused = np.random.default_rng(0), 0
    for at in range(128, len(whole)):
        torn = bytearray(whole)
        torn[at] = int(rng.integers(256))
        try:
            decode_image(bytes(torn))
        except UserError:
            refused += 1
    assert refused > 50

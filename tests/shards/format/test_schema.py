"""Damaged and forged sidecars are refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from shards_helpers import write

from shards import CheckFailed, Sidecar


def test_any_flipped_byte_of_the_sidecar_is_found(tmp_path: Path) -> None:
    """A sidecar contains its own digest."""
    record = tmp_path / f"{write(tmp_path, 1).stem}.json"
    content = bytearray(record.read_bytes())
    for at in range(len(content)):
        content[at] ^= 0x01
        with pytest.raises(CheckFailed, match=r"x.json"):
            Sidecar.from_bytes(bytes(content), "x.json")
        content[at] ^= 0x01


def forged(sidecar: Sidecar, **row: object) -> bytes:
    """A sidecar with a changed first row and a new digest, as a forger would write it."""
    first = sidecar.samples[0].model_copy(update=row)
    return sidecar.model_copy(update={"samples": [first, *sidecar.samples[1:]]}).to_bytes()


@pytest.mark.parametrize(
    "row",
    [
        {"id": "../../etc/passwd"},
        {"id": "/etc/passwd"},
        {"id": "a.b"},
        {"bytes": 1 << 40},
        {"offset": 512},
        {"members": {"cls": (512, 1), "json": (1536, 1), "pyd": (2560, 9)}},
        {"members": {"cls": (512, 1), "json": (1536, 1), "pkl": (2560, 9)}},
        {"members": {"cls": (512, 1), "png": (1536, 1)}},
        {"members": {"cls": (512, 1), "json": (1536, 1), "png": (1, 9)}},
        {"members": {"cls": (512, 1), "json": (1536, 400), "png": (2560, 1 << 50)}},
    ],
)
def test_forged_sidecars_are_refused(tmp_path: Path, row: dict[str, object]) -> None:
    """Paths as names, pickles, missing members and enormous sizes are refused before any tar is opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, on writing what it would not read
        content = forged(write(tmp_path), **row)
    with pytest.raises(CheckFailed, match="not a valid sidecar"):
        Sidecar.from_bytes(content, "x.json")

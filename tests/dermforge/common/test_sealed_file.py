"""No changed bit, no cut and no added byte of a sealed file goes unseen, whatever its format."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dermforge.common import tensor_files
from dermforge.common.atomic import Pending
from dermforge.common.errors import DataWarning, UserError
from dermforge.common.sealed_file import is_reusable, is_sealed, mapped, opened_json, seal, sealed_json, write_sealed
from shards.format.images import decode_image, encode_image


def array(path: Path) -> None:
    """As features are written: filled by NumPy through a mapping, then sealed."""
    with Pending(path) as file:
        values = np.lib.format.open_memmap(file.path, "w+", np.float32, (5, 4))
        values[:] = np.arange(20).reshape(5, 4)
        values.flush()
        seal(file)
        file.commit()


def tensors(path: Path) -> None:
    """As checkpoints are written."""
    tensor_files.write(path, {"weights": torch.arange(20.0), "step": torch.tensor(3)}, {"identity": {"seed": 1}})


def picture(path: Path) -> None:
    """As images of prior preservation are written."""
    write_sealed(path, [encode_image(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))])


KINDS = {"array": array, "tensors": tensors, "picture": picture}


@pytest.mark.parametrize("kind", KINDS)
def test_no_flip_cut_or_added_byte_goes_unseen(kind: str, tmp_path: Path) -> None:
    """300 bits anywhere in the file."""
    path = tmp_path / "file"
    KINDS[kind](path)
    content = path.read_bytes()
    assert is_sealed(path)
    for bit in random.Random(kind).sample(range(8 * len(content)), 300):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert not is_sealed(path), bit
    for other in (content[:-1], content[:64], content[:63], b"", content + b"0", content[1:]):
        path.write_bytes(other)
        assert not is_sealed(path)
        with pytest.raises(UserError, match=r"file is damaged, .*; write it again"):
            mapped(path, "write it again")


def test_the_content_is_read_as_without_a_seal(tmp_path: Path) -> None:
    """By NumPy, mapped or not, by image readers, and by safetensors."""
    for name, write in KINDS.items():
        write(tmp_path / name)
    for mode in ("r", None):
        values = np.load(tmp_path / "array", mmap_mode=mode, allow_pickle=False)
        assert values.tolist() == np.arange(20).reshape(5, 4).tolist()
    content = (tmp_path / "picture").read_bytes()
    assert decode_image(content).ravel().tolist() == list(range(192))
    assert np.asarray(Image.open(io.BytesIO(content))).ravel().tolist() == list(range(192))
    record, values = tensor_files.read(tmp_path / "tensors", "write it again")
    assert (record, values["weights"].tolist()) == ({"identity": {"seed": 1}}, list(range(20)))


def test_a_cache_says_what_is_damaged_and_nothing_of_what_is_missing(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    array(one)
    assert not is_reusable(one, other)
    array(other)
    assert is_reusable(one, other)
    other.write_bytes(other.read_bytes()[:-1])
    with pytest.warns(DataWarning, match=r"other is damaged, .* it is computed again"):
        assert not is_reusable(one, other)


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".file.0a1b2c3d.tmp").touch()
    (tmp_path / ".other.0a1b2c3d.tmp").touch()
    array(tmp_path / "array")
    picture(tmp_path / "file")
    assert {p.name for p in tmp_path.iterdir()} == {"array", "file", ".other.0a1b2c3d.tmp"}


@given(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(), min_size=1, max_size=4), st.sampled_from([None, 1])
)
def test_json_keeps_its_values(value: dict[str, int | str], indent: int | None) -> None:
    content = sealed_json(json.dumps(value, indent=indent))
    assert json.loads(opened_json(content, Path("record.json"), "no")) == value
    assert json.loads(content).keys() == {*value, "sha256"}


def test_no_flip_of_json_goes_unseen() -> None:
    content = sealed_json(json.dumps({"lineage": ["a", "b"], "test_accuracy": 0.5}, indent=1))
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"record.json is damaged .*; train it again|utf-8|line \d"):
            json.loads(opened_json(bytes(changed), Path("record.json"), "train it again"))
    assert opened_json(b'{"written": "by a person"}', Path("record.json"), "no") == b'{"written": "by a person"}'

"""A certificate of use lies in the bundle that it is of, and in no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from use_helpers import certificate

import engines
from dermforge.common.digests import digest_file
from dermforge.common.use_certificate import USE
from engines import Bundle, EngineError, read_bundle
from engines.use import attach, read_use


@pytest.fixture
def copied(torch_bundle: Bundle, tmp_path: Path) -> Bundle:
    shutil.copytree(torch_bundle.folder, tmp_path / "bundle")
    return read_bundle(tmp_path / "bundle")


def test_it_is_attached_and_the_bundle_stays_the_same(copied: Bundle, tmp_path: Path) -> None:
    assert read_use(copied) is None
    made = certificate(bundle=copied.digest)
    (tmp_path / USE).write_bytes(made.content())
    assert attach(copied, tmp_path / USE) == made
    again = read_bundle(copied.folder)
    assert again.digest == copied.digest
    assert read_use(again) == (made, digest_file(tmp_path / USE))
    assert engines.load(copied.folder, device="cpu").bundle_digest == copied.digest


@pytest.mark.parametrize(
    ("bundle", "said"), [("f" * 64, "of the bundle ffffffffffff, and"), ("", "no single bundle drew")]
)
def test_one_of_another_bundle_is_refused(copied: Bundle, bundle: str, said: str, tmp_path: Path) -> None:
    (tmp_path / USE).write_bytes(certificate(bundle=bundle).content())
    with pytest.raises(EngineError, match=said):
        attach(copied, tmp_path / USE)
    assert not (copied.folder / USE).exists()


def test_another_one_is_replaced_only_where_that_is_said(copied: Bundle, tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_bytes(certificate(bundle=copied.digest, verdict="fail").content())
    second.write_bytes(certificate(bundle=copied.digest).content())
    attach(copied, first)
    attach(copied, first)  # an attach that was stopped is given again
    with pytest.raises(EngineError, match="holds another certificate of use, which says fail: "):
        attach(copied, second)
    assert (copied.folder / USE).read_bytes() == first.read_bytes()
    attach(copied, second, overwrite=True)
    assert (copied.folder / USE).read_bytes() == second.read_bytes()
    (copied.folder / USE).write_bytes(b"{}")
    with pytest.raises(EngineError, match="which is not usable"):
        attach(copied, first)
    attach(copied, first, overwrite=True)


def test_a_bundle_with_the_certificate_of_another_is_refused(copied: Bundle, tmp_path: Path) -> None:
    (copied.folder / USE).write_bytes(certificate(bundle="f" * 64).content())
    with pytest.raises(EngineError, match="of another bundle"):
        engines.load(copied.folder, device="cpu")
    with pytest.raises(EngineError, match="of the bundle ffffffffffff"):
        read_use(copied)
    (copied.folder / USE).write_bytes(certificate(bundle=copied.digest).content().replace(b'"pass"', b'"fail"', 1))
    with pytest.raises(EngineError, match="damaged"):
        engines.load(copied.folder, device="cpu")

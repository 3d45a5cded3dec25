"""A bundle is whole, or is not there; a file that was altered is never opened."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from dermforge.common.errors import UserError
from dermforge.common.sealed_file import sealed_json
from engines import Bundle, load, read_bundle
from engines.bundle import claim, write_manifest, write_record
from engines.certificate import read_certificate
from engines.compile.batch_tuning import Timings
from engines.errors import EngineError
from engines.manifest import MANIFEST, PARITY, TIMINGS, Artefact


def test_every_file_is_recorded_and_whole(bundle: Bundle) -> None:
    bundle.verify()
    recorded = {a.path for a in bundle.manifest.artefacts}
    measured = {"bundle.json", "parity.json", "timings.json"}
    there = {p.relative_to(bundle.folder).as_posix() for p in bundle.folder.rglob("*") if p.is_file()}
    assert there - measured == recorded


@pytest.mark.parametrize("name", ["unet/rows.onnx", "unet/model.onnx.data", "vae_decoder/images.onnx"])
def test_a_truncated_file_is_refused_before_it_is_opened(copied: Bundle, name: str) -> None:
    path = copied.folder / name
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(EngineError, match=rf"{name}.*truncated or altered"):
        load(copied.folder)


def test_an_altered_file_of_equal_length_is_refused(copied: Bundle) -> None:
    path = copied.folder / "unet" / "rows.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(EngineError, match="was altered"):
        load(copied.folder)


def test_a_missing_file_is_named(copied: Bundle) -> None:
    (copied.folder / "unet" / "rows.onnx").unlink()
    with pytest.raises(EngineError, match=r"rows\.onnx is missing"):
        load(copied.folder)


def test_no_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no engine bundle at .*gen build-engine"):
        load(tmp_path)


def test_a_manifest_of_another_schema_is_refused(copied: Bundle) -> None:
    path = copied.folder / MANIFEST
    record = {key: value for key, value in json.loads(path.read_text()).items() if key != "sha256"}
    path.write_bytes(sealed_json(json.dumps(record | {"schema_version": 3})))
    with pytest.raises(EngineError, match=r"not of this version \(schema_version: .*build the bundle again"):
        read_bundle(copied.folder)
    path.write_text(json.dumps(record | {"schema_version": 1}, indent=1))
    with pytest.raises(EngineError, match=r"an earlier version wrote it.*build the bundle again"):
        read_bundle(copied.folder)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "unet/../../x"])
def test_a_manifest_cannot_name_files_outside_its_folder(path: str) -> None:
    with pytest.raises(ValidationError, match="lies outside the bundle"):
        Artefact(path=path, sha256="", bytes=0, kind="graph")


@pytest.mark.parametrize("digest", ["same", "another"])
def test_a_bundle_is_replaced_by_one_of_the_same_model_or_by_consent(copied: Bundle, digest: str) -> None:
    model = copied.manifest.model_digest if digest == "same" else "f" * 64
    claim(copied.folder, model, overwrite=True)
    if digest == "same":
        claim(copied.folder, model)
    else:
        with pytest.raises(EngineError, match=r"is a bundle of another model.*overwrite"):
            claim(copied.folder, model)


def test_a_bundle_that_cannot_be_read_is_replaced_by_consent_only(copied: Bundle) -> None:
    (copied.folder / MANIFEST).write_text("{}")
    claim(copied.folder, "digest", overwrite=True)
    with pytest.raises(EngineError, match=r"does not end in its sha256.*overwrite"):
        claim(copied.folder, "digest")


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_the_user_are_never_replaced(copied: Bundle, tmp_path: Path, overwrite: bool) -> None:
    (copied.folder / "unet" / "notes.txt").write_text("precious")
    with pytest.raises(EngineError, match=r"holds unet/notes\.txt, which is no part of the bundle"):
        claim(copied.folder, copied.manifest.model_digest, overwrite)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    with pytest.raises(UserError, match="is not an engine bundle"):
        claim(tmp_path / "mine", copied.manifest.model_digest, overwrite)


#: What libraries look for beside the files that they open, and what nobody looks for.
STRANGE = [
    "unet/diffusion_pytorch_model.safetensors.index.json",
    "unet/diffusion_pytorch_model.fp32.safetensors",
    "unet/adapter_config.json",
    "text_encoder/adapter_config.json",
    "text_encoder/adapter_model.bin",
    "text_encoder/pytorch_model.bin",
    "text_encoder/transformers.py",
    "tokenizer/added_tokens.json",
    "tokenizer/tokenizer.json",
    "scheduler/diffusers.py",
    "vae/config.json",
    "pipeline.py",
    "unet/.hidden",
    "notes.txt",
    "plans/other/unet.so",
]


def strange_things(folder: Path, name: str) -> Iterator[None]:
    """A file, a folder, links and a pipe of one name, one after the other."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    yield
    path.unlink()
    path.mkdir()
    yield
    path.rmdir()
    for target in (folder / MANIFEST, folder.parent, folder / "nowhere"):
        path.symlink_to(target)
        yield
        path.unlink()
    os.mkfifo(path)
    yield


@pytest.mark.parametrize("name", STRANGE)
def test_a_bundle_with_anything_else_in_it_is_refused_by_name(copied: Bundle, name: str) -> None:
    if (copied.folder / name).exists():
        pytest.skip(f"{name} belongs to a bundle of this version of transformers")
    for _ in strange_things(copied.folder, name):
        for opens in (load, read_bundle):
            with pytest.raises(EngineError, match=r"holds \S+, which its bundle\.json does not list") as refused:
                opens(copied.folder)
        said = str(refused.value).split(" holds ")[1].split(",")[0]
        assert name == said or name.startswith(f"{said}/")  # a folder that is not listed is not entered
        with pytest.raises(EngineError, match="which is no part of the bundle: move it"):
            claim(copied.folder, copied.manifest.model_digest, overwrite=True)


def opened_alike(folder: Path) -> None:
    """By all that opens a bundle or what lies in it."""
    there = read_bundle(folder)
    there.verify()
    read_certificate(there)
    load(folder)


def test_a_listed_file_may_be_a_link_because_its_content_is_hashed(copied: Bundle, tmp_path: Path) -> None:
    """The hub's cache and tools for data sets keep every file as a link to its content: see docs/decisions/0044."""
    for number, path in enumerate(sorted(p for p in copied.folder.rglob("*") if p.is_file())):
        path.rename(tmp_path / f"{number}")
        path.symlink_to(tmp_path / f"{number}")
    opened_alike(copied.folder)
    (tmp_path / "current").symlink_to(copied.folder)
    opened_alike(tmp_path / "current")


@pytest.mark.parametrize("name", [MANIFEST, PARITY, TIMINGS, "unet/model.onnx.data", "tokenizer/vocab.json"])
def test_a_link_to_anything_else_is_refused(copied: Bundle, name: str, tmp_path: Path) -> None:
    """To another file outside, to nothing, to itself, to a folder or a device."""
    path = copied.folder / name
    if path.exists():
        path.rename(tmp_path / "content")
    (tmp_path / "other").write_text("{}")
    for target in (tmp_path / "other", tmp_path / "nothing", path, tmp_path, Path("/dev/zero")):
        path.symlink_to(target)
        with pytest.raises((UserError, OSError), match=rf"{name}|{MANIFEST}"):
            load(copied.folder)
        path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match=rf"{name}|{MANIFEST}"):
        load(copied.folder)


@pytest.mark.parametrize("name", ["unet", "tokenizer", "scheduler"])
def test_a_linked_folder_is_refused_by_name(copied: Bundle, name: str, tmp_path: Path) -> None:
    (copied.folder / name).rename(tmp_path / "elsewhere")
    (copied.folder / name).symlink_to(tmp_path / "elsewhere")
    for opens in (load, read_bundle):
        with pytest.raises(EngineError, match=rf"{name} is a link; .*: put the folder there"):
            opens(copied.folder)
    with pytest.raises(EngineError, match=rf"holds {name}, which is no part of the bundle"):
        claim(copied.folder, copied.manifest.model_digest, overwrite=True)


def test_a_certified_bundle_must_have_its_certificate(copied: Bundle) -> None:
    """And not its timings, of which a build with a given number of batch rows writes none."""
    assert not (copied.folder / TIMINGS).exists()
    load(copied.folder)
    (copied.folder / PARITY).unlink()
    for opens in (load, read_bundle):
        with pytest.raises(EngineError, match=r"has no parity\.json, the certificate .*: copy the bundle again"):
            opens(copied.folder)


def test_a_bundle_that_failed_its_certificate_says_so_without_it(
    copied: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    (copied.folder / PARITY).unlink()
    write_manifest(copied.folder, copied.manifest.model_copy(update={"certified": False}))
    assert not load(copied.folder).certified
    assert "FAILED its parity certificate" in caplog.text


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def kinds_of_files(folder: Path) -> dict[str, list[Path]]:
    """Weights, graphs and engine files by their suffix, other files by their name."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        kinds.setdefault(path.name if path.suffix in (".json", ".txt") else path.suffix, []).append(path)
    return kinds


def silent_flips(folder: Path, each: int, opens: Callable[[Path], object]) -> dict[str, int]:
    """Of each kind of file of a bundle: how many of its flipped bits pass when the bundle is opened."""
    rng, silent, said = random.Random(0), dict[str, int](), list[str]()
    for kind, paths in kinds_of_files(folder).items():
        silent[kind] = 0
        for path in (paths[k % len(paths)] for k in range(each)):
            whole = path.read_bytes()
            flip(path, rng)
            try:
                opens(folder)
                silent[kind] += 1
            except UserError as error:
                said.append(str(error))
            path.write_bytes(whole)
    opens(folder)
    assert all(str(folder) in words for words in said)
    print({kind: f"{silent[kind]} of {each}" for kind in silent})
    return silent


EACH = pytest.mark.parametrize("each", [8, pytest.param(300, marks=pytest.mark.slow)])


@EACH
@pytest.mark.parametrize("name", ["bundle", "torch_bundle"])
def test_no_flipped_bit_of_any_file_passes(
    name: str, each: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source: Bundle = request.getfixturevalue(name)
    there = read_bundle(Path(shutil.copytree(source.folder, tmp_path / "bundle")))
    timings = Timings(rows=4, vae_batch=8, unet_seconds_per_row={4: 1}, decode_seconds_per_image={8: 1})
    write_record(there, TIMINGS, timings)
    silent = silent_flips(there.folder, each, lambda folder: load(folder, device="cpu").encode_text(["a"]))
    words = {path.name for path in (source.folder / "tokenizer").iterdir()}
    assert {MANIFEST, PARITY, TIMINGS, "scheduler_config.json"} | words < set(silent)
    assert words
    assert not any(silent.values()), silent


@EACH
def test_no_flipped_bit_of_a_bundle_for_a_gpu_passes_an_inspection(each: int, half: Bundle, tmp_path: Path) -> None:
    """As `gen inspect` does it: a load opens the engine files only, and only beside a GPU."""

    def inspect(folder: Path) -> None:
        there = read_bundle(folder)
        there.verify()
        read_certificate(there)

    silent = silent_flips(Path(shutil.copytree(half.folder, tmp_path / "bundle")), each, inspect)
    assert {".plan", ".onnx", ".data", MANIFEST} < set(silent)
    assert not any(silent.values()), silent


def test_records_of_another_bundle_are_refused(copied: Bundle, torch_bundle: Bundle) -> None:
    shutil.copyfile(torch_bundle.folder / PARITY, copied.folder / PARITY)
    with pytest.raises(EngineError, match=r"parity\.json is of another bundle"):
        load(copied.folder)


def test_the_digest_is_that_of_the_manifest_that_was_read(copied: Bundle) -> None:
    """Not of the file that lies there later; and it is what sha256sum gives."""
    opened, content = load(copied.folder), (copied.folder / MANIFEST).read_bytes()
    (copied.folder / MANIFEST).write_text("{}")
    assert opened.bundle_digest == opened.bundle.digest == hashlib.sha256(content).hexdigest()


def test_all_files_are_readable_as_the_umask_says(bundle: Bundle, torch_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    (tmp_path / "folder").mkdir()
    expected = {(tmp_path / name).stat().st_mode for name in ("new", "folder")}
    for one in (bundle, torch_bundle):
        assert {path.stat().st_mode for path in (one.folder, *one.folder.rglob("*"))} == expected

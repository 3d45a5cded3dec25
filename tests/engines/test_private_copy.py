"""What is opened is what was hashed, whatever is done to the bundle meanwhile."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engines_helpers import gauss

from engines import Bundle, Engine, load, read_bundle
from engines.backends.torch_aot import load_library
from engines.errors import EngineError
from engines.manifest import Artefact, describe_file
from engines.private_copy import derived_folder, private_copy


def place() -> Path:
    return Path(tempfile.gettempdir()) / f"dermforge-{os.geteuid()}-bundles"


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def test_copies_are_private_whole_and_gone_in_the_end(bundle: Bundle) -> None:
    wanted = bundle.find("graph")
    with private_copy(bundle, wanted) as folder:
        copies = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        assert copies == sorted(a.path for a in wanted)
        assert all((folder / a.path).read_bytes() == bundle.path(a).read_bytes() for a in wanted)
        assert folder.parent.stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o700
    assert list(place().iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(bundle: Bundle) -> None:
    with private_copy(bundle, bundle.find("graph")) as mine:
        code = (
            "import os, sys, tempfile; from pathlib import Path; from engines import read_bundle\n"
            "from engines.private_copy import private_copy\n"
            "bundle = read_bundle(Path(sys.argv[1]))\n"
            "with private_copy(bundle, bundle.find('weights')): os._exit(9)\n"
        )
        folder = {**os.environ, "TMPDIR": tempfile.gettempdir()}
        assert subprocess.run([sys.executable, "-c", code, str(bundle.folder)], env=folder).returncode == 9
        assert len(list(place().iterdir())) == 2
        with private_copy(bundle, []) as other:
            assert sorted(place().iterdir()) == sorted([mine, other])


def test_a_full_disk_is_an_error_that_says_what_to_do(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Iterator[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield b""

    monkeypatch.setattr(Bundle, "pieces", full)
    with pytest.raises(EngineError, match=r"no room in .*: set TMPDIR to a folder on a larger disk"):
        load_private(bundle)
    assert list(place().iterdir()) == []


def load_private(bundle: Bundle) -> None:
    with private_copy(bundle, bundle.find("weights")):
        pass


def evil(path: Path) -> bytes:
    """Other content that the same library opens: other weights, another vocabulary; else rubbish."""
    content = path.read_bytes()
    if path.suffix == ".data":
        return bytes((np.frombuffer(content[: len(content) // 4 * 4], np.float32) * 0.5).tobytes())
    if path.suffix == ".safetensors":
        start = 8 + int.from_bytes(content[:8], "little")
        return content[:start] + bytes((np.frombuffer(content[start:], np.float32) * 0.5).tobytes())
    if path.name == "vocab.json":
        vocabulary = json.loads(content)
        return json.dumps(dict(zip(vocabulary, reversed(vocabulary.values()), strict=True))).encode()
    return b"{}"


def swap_all(folder: Path, contents: dict[Path, bytes], in_place: bool) -> None:
    """Exchange every file of a bundle, by renaming others to their names or by writing into them; add another."""
    for name, content in contents.items():
        path = folder / name
        if in_place:
            path.write_bytes(content)
        else:
            (folder.parent / "new").write_bytes(content)
            os.replace(folder.parent / "new", path)
    (folder / "text_encoder" / "adapter_config.json").write_text("{}")


def outputs(engine: Engine) -> list[torch.Tensor]:
    text = engine.encode_text(["an image of plaque", ""])
    latents = gauss(2, 4, 8, 8)
    images = engine.decode(latents)
    return [*text.values(), engine.denoise(latents, torch.tensor([900.0, 50.0]), text), images, engine.encode(images)]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", ["bundle", "torch_bundle"])
@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_files_that_are_exchanged_after_any_digest_are_never_used(
    name: str,
    step: int,
    in_place: bool,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the k-th digest the whole bundle is another one: the engine is the same, or there is none."""
    source: Bundle = request.getfixturevalue(name)
    expected, check = outputs(load(source.folder, device="cpu")), Bundle._check
    contents = {Path(a.path): evil(source.path(a)) for a in source.manifest.artefacts}
    used, refused = 0, list[str]()
    for k in range(1, 1000, step):
        folder = Path(shutil.copytree(source.folder, tmp_path / f"{k}"))
        done = 0

        def then_swap(self: Bundle, artefact: Artefact, digest: str, folder: Path = folder, k: int = k) -> None:
            nonlocal done
            check(self, artefact, digest)
            done += 1
            if done == k:
                swap_all(folder, contents, in_place)

        monkeypatch.setattr(Bundle, "_check", then_swap)
        try:
            got = outputs(load(folder, device="cpu"))
        except EngineError as error:
            refused.append(str(error))
        else:
            used += 1
            assert all(torch.equal(one, other) for one, other in zip(got, expected, strict=True)), k
        shutil.rmtree(folder)
        if done < k:
            break
    assert refused
    assert all("altered" in words for words in refused)
    assert used


@pytest.fixture
def library(tmp_path: Path) -> Callable[[str, int], bytes]:
    """The bytes of a shared library with a function that returns a number."""
    if shutil.which("gcc") is None:
        pytest.skip("compiling needs gcc")

    def compiled(name: str, number: int) -> bytes:
        (tmp_path / "code.c").write_text(f"int number(void) {{ return {number}; }}")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / name, tmp_path / "code.c"], check=True)
        return (tmp_path / name).read_bytes()

    return compiled


@pytest.mark.parametrize("in_place", [False, True])
def test_a_library_that_is_exchanged_after_its_digest_does_not_run(
    library: Callable[[str, int], bytes],
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_place: bool,
) -> None:
    number = 40 + in_place
    other = library("other.so", 666)
    library("unet.so", number)
    file, check = describe_file(tmp_path, tmp_path / "unet.so"), Bundle._check

    def then_swap(self: Bundle, artefact: Artefact, digest: str) -> None:
        check(self, artefact, digest)
        if in_place:
            (tmp_path / "unet.so").write_bytes(other)
        else:
            os.replace(tmp_path / "other.so", tmp_path / "unet.so")

    monkeypatch.setattr(Bundle, "_check", then_swap)
    opened = load_library(replace(bundle, folder=tmp_path), file)
    assert opened.number() == number
    assert load_library(replace(bundle, folder=tmp_path), file) is opened  # by its digest: it is loaded already
    assert (tmp_path / "unet.so").read_bytes() == other
    with pytest.raises(EngineError, match=r"unet\.so hashes to"):
        load_library(replace(bundle, folder=tmp_path), file.model_copy(update={"sha256": "0" * 64}))


def test_bytes_that_are_read_are_those_that_were_hashed(copied: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an engine file of TensorRT is."""
    file, check = copied.find("graph")[0], Bundle._check
    whole = copied.path(file).read_bytes()

    def then_swap(self: Bundle, artefact: Artefact, digest: str) -> None:
        check(self, artefact, digest)
        copied.path(file).write_bytes(bytes(len(whole)))

    monkeypatch.setattr(Bundle, "_check", then_swap)
    assert read_bundle(copied.folder).read(file) == whole
    with pytest.raises(EngineError, match="was altered"):
        copied.read(file)


@pytest.mark.parametrize(
    ("part", "own"),
    [
        ("", "model.safetensors"),
        ("/unet/config.json", "model.safetensors/unet/config.json"),
        ("/vae", "lent/vae"),
        ("/text_encoder/config.json", "lent/text_encoder/config.json"),
        ("/text_encoder_2: 3", "model.safetensors/text_encoder_2: 3"),
        ("/unet/diffusion_pytorch_model.safetensors", "lent/unet/model.fp16.safetensors"),
    ],
)
def test_a_message_names_what_a_private_folder_was_made_of(part: str, own: str, tmp_path: Path) -> None:
    """What was written stands for the model, and a link for what it leads to."""
    with pytest.raises(EngineError) as refused, derived_folder(tmp_path / "model.safetensors", "model") as folder:  # noqa: PT012
        for name in ("unet", "text_encoder_2"):
            (folder / name).mkdir(parents=True)
        for name in ("vae", "text_encoder"):
            (folder / name).symlink_to(tmp_path / "lent" / name, target_is_directory=True)
        (folder / "unet/diffusion_pytorch_model.safetensors").symlink_to(tmp_path / "lent/unet/model.fp16.safetensors")
        raise EngineError(f"{folder}{part} is damaged")
    assert str(refused.value) == f"{tmp_path / own} is damaged"

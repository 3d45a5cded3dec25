"""A bit of a working folder changes: `gen finetune` says so, or ends with the bytes of an undisturbed run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from ends import Warm, contents
from flips import flipped, some_bits

#: What a run reads back, in its working folder.
STATES = ["checkpoint.safetensors", "latents/real/view-0000.safetensors", "prior/000000.png", "log.csv"]


def timeless(folder: Path) -> dict[str, bytes]:
    """What is in a folder, without the seconds that each step took."""
    found = contents(folder)
    log = "training/log.csv"
    return found | {log: re.sub(rb",[0-9.]+$", b"", found[log], flags=re.MULTILINE)}


@pytest.fixture(scope="module")
def stopped(
    warm: Warm, pipelines: dict[str, Path], images: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, dict[str, bytes]]:
    """A command, a folder with the work of a shorter run of it, and what the command makes of it."""
    before = tmp_path_factory.mktemp("stopped")
    words = f"gen finetune --model {pipelines['text']} --data {images} --out {{}}/tuned --views 1 --keep-work"
    words += " --method lora --prior 1 --template skin"
    done = warm.run(f"{words.format(before)} --steps 1".split(), before)
    assert done.status == 0, done.said
    words += " --steps 2"
    whole = Path(shutil.copytree(before, tmp_path_factory.mktemp("whole") / "run"))
    assert warm.run(words.format(whole).split(), whole).status == 0
    return words, before, timeless(whole / "tuned")


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("count", [1, pytest.param(300, marks=pytest.mark.slow)])
def test_no_flip_is_silent(
    stopped: tuple[str, Path, dict[str, bytes]], warm: Warm, tmp_path: Path, name: str, count: int
) -> None:
    words, before, expected = stopped
    for bit in some_bits(before / "tuned.work" / name, count):
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(before, folder)
        file = folder / "tuned.work" / name
        with flipped(file, bit):
            done = warm.run(words.format(folder).split(), folder)
        assert "Traceback" not in done.said, done.said
        said = f"{file} is damaged" in " ".join(done.said.split())
        if done.status == 0:
            assert said or name == "log.csv"
            assert timeless(folder / "tuned") == expected, f"bit {bit} of {name}"
        else:
            assert said, done.said


@pytest.mark.parametrize("name", ["unet/diffusion_pytorch_model.safetensors", "dermforge.json", "unet/config.json"])
@pytest.mark.parametrize("count", [1, pytest.param(300, marks=pytest.mark.slow)])
def test_no_flip_of_a_result_is_silent(
    stopped: tuple[str, Path, dict[str, bytes]], warm: Warm, tmp_path: Path, name: str, count: int
) -> None:
    """A run that was done already looks at what it made, before it says so."""
    words, before, _ = stopped
    folder = Path(shutil.copytree(before, tmp_path / "run"))
    again = words.replace("--steps 2", "--steps 1").format(folder).split()
    file = folder / "tuned" / name
    for bit in some_bits(file, count):
        with flipped(file, bit):
            done = warm.run(again, folder)
        assert done.status == 2, done.said
        assert f"{file} is" in " ".join(done.said.split()), done.said
    assert "was done already" in warm.run(again, folder).said

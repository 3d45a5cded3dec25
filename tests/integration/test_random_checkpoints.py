"""Pipelines with settings drawn at random: an engine draws diffusers' images, or the folder is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_checkpoints import WORD, write_checkpoint

from engines import EngineError, ParityError, build
from engines.certificate import Certificate, read_certificate
from gen.sampling.own_steps import own_steps

FAST, ALL = 20, 200
PROMPTS = ["An image of plaque, dark skin", f"nodule {WORD[0]}"]
SEEDS = [pytest.param(seed, marks=[] if seed < FAST else [pytest.mark.slow]) for seed in range(ALL)]


def certified(model: Path, out: Path) -> Certificate | EngineError:
    """The certificate of a pipeline's engine, or why there is none; an engine that differs is an error."""
    try:
        return read_certificate(build(model, out, backend="torch", rows=4, prompts=PROMPTS, solve=own_steps))
    except ParityError:
        raise
    except EngineError as error:
        return error


@pytest.mark.parametrize("seed", SEEDS)
def test_an_engine_draws_diffusers_images_or_the_folder_is_refused(seed: int, tmp_path: Path) -> None:
    """Anything but an image within 50 dB and a line that names the folder is a failure."""
    drawn = write_checkpoint(tmp_path / "model", seed)
    found = certified(tmp_path / "model", tmp_path / "bundle")
    print(drawn, found)
    if isinstance(found, Certificate):
        assert found.images.psnr_worst >= 50
    else:
        assert "\n" not in str(found)
        assert str(tmp_path / "model") in str(found)
        assert not (tmp_path / "bundle").exists()

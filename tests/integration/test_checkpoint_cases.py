"""Checkpoints on which a build failed once, where their maker is there: drawn as diffusers draws them, or refused."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from engines import EngineError, build
from engines.certificate import read_certificate
from gen.cli import PROGRAM
from gen.sampling.own_steps import own_steps

SHARED = Path(os.environ.get("DERMFORGE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
MAKER = SHARED / "cases" / "checkpoints" / "make.py"
pytestmark = pytest.mark.skipif(not MAKER.is_file(), reason="the maker of the cases is not there")

DRAWN = {  # and the side in pixels of what is drawn
    "sharded_fp16": 16,
    "bf16_variant": 16,
    "size_list": 16,
    "old_sample_size": 128,
    "orig_mod_unet": 16,
    "orig_mod_text": 16,
    "peft_unet": 16,
    "fast_tokenizer_only": 16,
    "euler_no_spacing": 16,
    "lcm_defaults": 16,
    "lcm_cond": 16,
}
REFUSED = {
    "size_null": "unet/config.json has sample_size = None",
    "text_missing_norm": "text_encoder: weights are 2 missing",
    "nan_weights": "conv_in.weight holds NaN",
    "class_embed": "unet/config.json has class_embed_type",
    "text_time": "unet/config.json has addition_embed_type",
    "ip2p_8ch": "unet takes 8 channels",
    "learned_sigma": "unet gives 8 channels",
    "ti_not_resized": "tokenizer has 1 tokens",
    "flow": "scheduler is a FlowMatchEulerDiscreteScheduler",
    "zsnr_eps": "scheduler/scheduler_config.json has rescale_betas_zero_snr",
    "trained_betas_mismatch": "scheduler/scheduler_config.json has 500 trained_betas",
}


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / request.param
    monkeypatch.setattr(sys, "argv", ["make.py", request.param, str(folder)])
    with torch.random.fork_rng():
        runpy.run_path(str(MAKER))
    return folder


@pytest.mark.parametrize("case", DRAWN, indirect=True)
def test_an_odd_checkpoint_is_drawn_as_diffusers_draws_it(case: Path, tmp_path: Path) -> None:
    bundle = build(case, tmp_path / "bundle", backend="torch", rows=4, prompts=["a", "skin"], solve=own_steps)
    assert read_certificate(bundle).images.psnr_worst >= 50
    assert bundle.manifest.spec.size == DRAWN[case.name]
    scheduler = bundle.manifest.spec.scheduler
    if case.name == "euler_no_spacing":
        assert scheduler["timestep_spacing"] == "linspace"
    if case.name == "lcm_defaults":
        assert (scheduler["beta_schedule"], scheduler["beta_start"]) == ("scaled_linear", 0.00085)


@pytest.mark.parametrize("case", REFUSED, indirect=True)
def test_what_cannot_be_drawn_is_refused_in_one_line_that_names_the_part(case: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        build(case, tmp_path / "bundle", backend="torch", rows=4, solve=own_steps)
    assert f"{case}/{REFUSED[case.name]}" in str(caught.value) or REFUSED[case.name] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("case", ["text_missing_norm", "nan_weights", "ti_not_resized"], indirect=True)
def test_tuning_refuses_them_as_well(case: Path, tmp_path: Path, phantom_shards: Path) -> None:
    """One of them trained on a text encoder of random numbers, and ended well."""
    words = [
        "--model",
        str(case),
        "--data",
        str(phantom_shards / "train"),
        "--template",
        "{class}",
        "--steps",
        "1",
        "--out",
        str(tmp_path / "o"),
    ]
    done = CliRunner().invoke(PROGRAM.app(), ["finetune", *words])
    assert isinstance(done.exception, EngineError)
    assert REFUSED[case.name] in str(done.exception)
    assert not (tmp_path / "o").exists()

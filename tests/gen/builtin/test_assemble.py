"""All stages end in folders that diffusers loads."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline

from dermforge.common.training_log import TrainingLog
from gen.builtin.assemble import assemble
from gen.builtin.classifier import train_classifier
from gen.builtin.data import phantoms
from gen.builtin.model import LATENT_CHANNELS, PATCH, new_vae
from gen.builtin.patch_code import fit_code
from gen.builtin.train_stages import COLUMNS, LOG, Budget, Workshop, train_decoder, train_encoder, train_unet


def test_all_stages_end_in_a_loadable_folder(tmp_path: Path) -> None:
    budget = Budget(encoder_steps=3, decoder_steps=2, vae_batch=2, unet_steps=4, unet_batch=4, longer_batch=4)
    workshop = Workshop(tmp_path, budget, torch.device("cpu"), TrainingLog(tmp_path / LOG, COLUMNS))
    data = phantoms(1, 5, tmp_path / "phantoms.safetensors")
    code = fit_code(data, PATCH, LATENT_CHANNELS)
    vae = new_vae()
    train_encoder(vae, code, data, workshop)
    train_decoder(vae, code, data, train_classifier(data, 6, 2), workshop)
    for inpaint in (False, True):
        stage = budget.unet_inpaint(4) if inpaint else budget.unet
        unet = train_unet(code, data, workshop, stage, inpaint=inpaint)
        out = tmp_path / f"out-{inpaint}"
        assemble(vae, unet, out, workshop, per_cell=1, inpaint_steps=4 if inpaint else 0)
        loaded = (StableDiffusionInpaintPipeline if inpaint else StableDiffusionPipeline).from_pretrained(out)
        assert loaded.vae.config.scaling_factor == 1
        vae.float()

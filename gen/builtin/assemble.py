"""From trained modules to the committed diffusers folder, with what engines and readers need to know."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, StableDiffusionPipeline

from dermforge.common.skin_tone import TONE_GROUPS
from dermforge.common.whole_folder import whole_folder
from engines.checkpoint.weights import write_weights
from gen.builtin.data import CELLS
from gen.builtin.model import LATENT_CHANNELS, LATENT_SIZE, PATCH, PROMPT, SIZE, new_scheduler, prompt_for
from gen.builtin.train_stages import Budget, TextUNet, Workshop
from gen.phantoms import CLASSES
from gen.phantoms.dataset import phantom_id

#: Only the built-in pipeline has it.
TRAINING_LOG = "training_log.csv"


def assemble(
    vae: AutoencoderKL, unet: TextUNet, out: Path, workshop: Workshop, per_cell: int, inpaint_steps: int = 0
) -> None:
    """Write a pipeline folder; VAE and UNet in half precision (they load as float32), to stay small in git."""
    kind = StableDiffusionInpaintPipeline if inpaint_steps else StableDiffusionPipeline
    pipeline = kind(
        vae=vae.to(torch.float16),
        unet=unet.unet.to(torch.float16),
        text_encoder=unet.text_encoder,
        tokenizer=unet.tokenizer,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    with whole_folder(out) as folder:
        pipeline.save_pretrained(folder, safe_serialization=True)
        write_weights(folder, "text_encoder", unet.text_encoder.state_dict())  # which transformers 5 names otherwise
        (folder / "dermforge.json").write_text(json.dumps(_facts(per_cell), indent=1) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(_card(per_cell, workshop.budget, inpaint_steps), encoding="utf-8")
        (folder / TRAINING_LOG).write_bytes(workshop.log.content)


def _facts(per_cell: int) -> dict[str, object]:
    first, last = (phantom_id("c", "g", draw).split("-")[1] for draw in (0, per_cell - 1))
    return {
        "phantom": True,
        "classes": list(CLASSES),
        "groups": list(TONE_GROUPS),
        "prompt_template": PROMPT,
        "lineage": [f"phantom-[{first}-{last}]-{c}-{g}" for c, g in CELLS],
        "validation_prompts": [{"prompt": prompt_for(c, g), "class": c, "group": g} for c, g in CELLS],
    }


def _card(per_cell: int, budget: Budget, inpaint_steps: int) -> str:
    task = f"inpainting ({2 * LATENT_CHANNELS + 1}-channel UNet)" if inpaint_steps else "text to image"
    more = f" (and then, to inpaint, {inpaint_steps} of {budget.longer_batch})" if inpaint_steps else ""
    return f"""---
license: apache-2.0
tags: [phantom, diffusers]
---
# dermforge built-in pipeline: {task}

A small latent diffusion model of **phantoms**: procedurally drawn lesions on drawn skin. It knows no patients
and no diseases; its classes are morphological ({", ".join(CLASSES)}) and its groups are skin tones by
individual typology angle ({", ".join(g.replace("_", " ") for g in TONE_GROUPS)}).
It exists so that every command runs, and can be checked against a known truth, without weights or patients.

- Images of {SIZE} px, latents {LATENT_SIZE}x{LATENT_SIZE}x{LATENT_CHANNELS}, prompts "{PROMPT}", v-prediction with
  zero terminal SNR.
- Trained by `gen train-builtin` on {per_cell * len(CELLS)} phantoms (draws 0 to {per_cell - 1} of every cell, seed 0):
  encoder {budget.encoder_steps} and decoder {budget.decoder_steps} steps of {budget.vae_batch}, UNet and text encoder
  {budget.unet_steps} steps of {budget.unet_batch} and {budget.longer_steps} of {budget.longer_batch}{more}.
  The latents are whitened principal components of patches of {PATCH} px, known before training. The log of the run is
  `training_log.csv`; `bench builtin` measures the result.
- Use it for tests and demonstrations. Never use it as a picture of a disease.
"""

"""`gen train-builtin`: how the committed weights were made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from gen.builtin.assemble import assemble
from gen.builtin.classifier import train_classifier
from gen.builtin.data import phantoms
from gen.builtin.train import (
    Budget,
    Denoiser,
    cache_latents,
    expand_for_inpainting,
    sharpen_decoder,
    train_unet,
    train_vae,
)
from shards import console
from shards.errors import UserError

CLASSIFIER_STEPS = 900


def train_builtin(
    out: Annotated[Path, typer.Argument(help="The pipeline folder to write; OUT-inpaint for the inpainting one.")],
    work: Annotated[Path, typer.Option(help="Checkpoints, drawn images and the log; run again to go on.")] = Path(
        "runs/train-builtin"),
    per_cell: Annotated[int, typer.Option(help="Training phantoms per class and tone group.")] = 800,
    vae_steps: Annotated[int, typer.Option(help="Optimiser steps of the autoencoder.")] = 2400,
    decoder_steps: Annotated[int, typer.Option(help="Further steps of its decoder alone.")] = 1500,
    unet_steps: Annotated[int, typer.Option(help="Optimiser steps of the UNet.")] = 4500,
    inpaint_steps: Annotated[int, typer.Option(help="Further steps of the inpainting UNet; 0 leaves it out.")] = 0,
    batch: Annotated[int, typer.Option(help="Latents per step.")] = 32,
    seed: Annotated[int, typer.Option(help="Of the weights and of the order.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 uses them all.")] = 0,
) -> None:
    """Train the built-in phantom pipeline: autoencoder, UNet and text encoder, decoder; resumes from --work.

    Example: gen train-builtin gen/builtin/pipeline --work runs/train-builtin
    """
    if min(vae_steps, unet_steps, batch, per_cell) < 1:
        raise UserError("steps, batch and --per-cell must be at least 1")
    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    budget = Budget(vae_steps=vae_steps, decoder_steps=decoder_steps, unet_steps=unet_steps, unet_batch=batch)
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    data = phantoms(per_cell, 0, work / "phantoms.npz")
    classifier = train_classifier(data, len(data.images), CLASSIFIER_STEPS, seed=seed + 3,
                                  cache=work / "classifier.safetensors")
    vae = train_vae(data, classifier, work, budget, device)
    latents, scale = cache_latents(vae, data, work, device)
    torch.manual_seed(seed + 1)
    denoiser = train_unet(latents, scale, data.cells, work, budget, device)
    torch.manual_seed(seed + 4)
    sharpen_decoder(vae, latents, data, classifier, work, budget, device)
    made = [out]
    if inpaint_steps:
        torch.manual_seed(seed + 2)
        more = Budget(unet_steps=inpaint_steps, unet_batch=batch)
        wide = train_unet(latents, scale, data.cells, work, more, device, inpaint=True,
                          start_from=expand_for_inpainting(denoiser))
        made.append(_write(vae, wide, scale, out.with_name(f"{out.name}-inpaint"), per_cell, more, work, True))
    _write(vae, denoiser, scale, out, per_cell, budget, work, False)
    console.out.print("wrote " + " and ".join(str(m) for m in made) + "; measure it with: bench builtin")


def _write(
    vae: torch.nn.Module, denoiser: Denoiser, scale: float, out: Path, per_cell: int, budget: Budget, work: Path,
    inpaint: bool,
) -> Path:
    assemble(vae.float(), denoiser, scale, out, per_cell=per_cell, budget=budget, log=work / "log.csv", inpaint=inpaint)
    return out

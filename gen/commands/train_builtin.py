"""`gen train-builtin`: how the committed weights were made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dermforge.common import console
from dermforge.common.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from gen.builtin.train_stages import Budget, TextUNet

CLASSIFIER_STEPS = 900


def train_builtin(
    out: Annotated[Path, typer.Argument(help="The pipeline folder to write; OUT-inpaint for the inpainting one.")],
    work: Annotated[Path, typer.Option(help="Checkpoints, drawn images and the log; run again to go on.")] = Path(
        "runs/train-builtin"
    ),
    per_cell: Annotated[int, typer.Option(help="Training phantoms per class and tone group.")] = 800,
    encoder_steps: Annotated[int, typer.Option(help="Optimiser steps of the VAE's encoder.")] = 3000,
    decoder_steps: Annotated[int, typer.Option(help="Optimiser steps of its decoder.")] = 2500,
    unet_steps: Annotated[int, typer.Option(help="Optimiser steps of the UNet.")] = 5000,
    inpaint_steps: Annotated[int, typer.Option(help="Further steps of the inpainting UNet; 0 leaves it out.")] = 0,
    batch: Annotated[int, typer.Option(help="Latents per step.")] = 32,
    seed: Annotated[int, typer.Option(help="Of the weights and of the order.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 uses them all.")] = 0,
) -> None:
    """Train the built-in phantom pipeline: encoder, decoder, UNet with text encoder; resumes from --work.

    Example: gen train-builtin gen/builtin/pipeline --work runs/train-builtin
    """
    import torch

    from gen.builtin.classifier import train_classifier
    from gen.builtin.data import phantoms
    from gen.builtin.model import LATENT_CHANNELS, PATCH, new_vae
    from gen.builtin.patch_code import fit_code
    from gen.builtin.train_stages import Budget, expand_for_inpainting, train_decoder, train_encoder, train_unet

    if min(encoder_steps, decoder_steps, unet_steps, batch, per_cell) < 1:
        raise UserError("steps, batch and --per-cell must be at least 1")
    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    budget = Budget(encoder_steps=encoder_steps, decoder_steps=decoder_steps, unet_steps=unet_steps, unet_batch=batch)
    work.mkdir(parents=True, exist_ok=True)
    data = phantoms(per_cell, 0, work / "phantoms.npz")
    code = fit_code(data, PATCH, LATENT_CHANNELS, work / "code.safetensors")
    classifier = train_classifier(
        data, len(data.images), CLASSIFIER_STEPS, seed=seed + 3, cache=work / "classifier.safetensors"
    )
    torch.manual_seed(seed)
    vae = new_vae()
    train_encoder(vae, code, data, work, budget, device)
    torch.manual_seed(seed + 4)
    train_decoder(vae, code, data, classifier, work, budget, device)
    torch.manual_seed(seed + 1)
    denoiser = train_unet(code, data, work, budget, device)
    made = [out]
    if inpaint_steps:
        torch.manual_seed(seed + 2)
        more = replace(budget, unet_steps=inpaint_steps)
        wide = train_unet(code, data, work, more, device, inpaint=True, start_from=expand_for_inpainting(denoiser))
        made.append(_write(vae, wide, out.with_name(f"{out.name}-inpaint"), per_cell, more, work, True))
    _write(vae, denoiser, out, per_cell, budget, work, False)
    console.out.print("wrote " + " and ".join(str(m) for m in made) + "; measure it with: bench builtin")


def _write(
    vae: nn.Module, denoiser: TextUNet, out: Path, per_cell: int, budget: Budget, work: Path, inpaint: bool
) -> Path:
    from gen.builtin.assemble import assemble

    assemble(vae.float(), denoiser, out, per_cell=per_cell, budget=budget, log=work / "log.csv", inpaint=inpaint)
    return out

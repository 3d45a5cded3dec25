"""`gen train-builtin`: how the committed weights were made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.errors import UserError

CLASSIFIER_STEPS = 900


def train_builtin(
    out: Annotated[Path, typer.Argument(help="The pipeline folder to write; OUT-inpaint for the inpainting one.")],
    work: Annotated[Path, typer.Option(help="Checkpoints, drawn images and the log; run again to resume.")] = Path(
        "runs/train-builtin"
    ),
    per_cell: Annotated[int, typer.Option(help="Training phantoms per class and tone group.")] = 800,
    encoder_steps: Annotated[int, typer.Option(help="Optimiser steps of the VAE's encoder.")] = 3000,
    decoder_steps: Annotated[int, typer.Option(help="Optimiser steps of its decoder.")] = 2500,
    unet_steps: Annotated[int, typer.Option(help="Optimiser steps of the UNet.")] = 5000,
    longer_steps: Annotated[int, typer.Option(help="Steps in which it then goes on; 0 leaves them out.")] = 11000,
    inpaint_steps: Annotated[int, typer.Option(help="Further steps of the inpainting UNet; 0 leaves it out.")] = 0,
    batch: Annotated[int, typer.Option(help="Latents per step.")] = 32,
    longer_batch: Annotated[int, typer.Option(help="Latents per step of the steps after those.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the order.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 uses them all.")] = 0,
) -> None:
    """Train the built-in phantom pipeline: encoder, decoder, UNet with text encoder; resumes from --work.

    Example: gen train-builtin gen/builtin/pipeline --work runs/train-builtin
    """
    import torch

    from dermforge.common.output_folder import claim
    from dermforge.common.training_log import TrainingLog
    from gen.builtin.assemble import TRAINING_LOG, assemble
    from gen.builtin.classifier import train_classifier
    from gen.builtin.data import phantoms
    from gen.builtin.model import LATENT_CHANNELS, PATCH, new_vae
    from gen.builtin.patch_code import fit_code
    from gen.builtin.train_stages import (
        COLUMNS,
        LOG,
        Budget,
        Workshop,
        expand_for_inpainting,
        train_decoder,
        train_encoder,
        train_unet,
    )

    if min(encoder_steps, decoder_steps, unet_steps, batch, longer_batch, per_cell) < 1:
        raise UserError("steps, batch and --per-cell must be at least 1")
    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    budget = Budget(
        encoder_steps=encoder_steps,
        decoder_steps=decoder_steps,
        unet_steps=unet_steps,
        unet_batch=batch,
        longer_steps=longer_steps,
        longer_batch=longer_batch,
    )
    inpainting = out.with_name(f"{out.name}-inpaint")
    for place in (out, *([inpainting] if inpaint_steps else [])):
        claim(place, "a pipeline that gen train-builtin wrote", [TRAINING_LOG])
    claim(work, "the work of gen train-builtin", ["phantoms.safetensors", "code.safetensors"])
    work.mkdir(parents=True, exist_ok=True)
    with console.progress("draw phantoms", per_cell, "rounds") as tick:
        data = phantoms(per_cell, 0, work / "phantoms.safetensors", tick=tick)
    code = fit_code(data, PATCH, LATENT_CHANNELS, work / "code.safetensors")
    with console.progress("train classifier", CLASSIFIER_STEPS, "steps") as tick:
        cache = work / "classifier.safetensors"
        classifier = train_classifier(data, len(data.images), CLASSIFIER_STEPS, seed=seed + 3, cache=cache, tick=tick)
    identity = {"phantoms": data.digest, "seed": seed}
    workshop = Workshop(work, budget, device, TrainingLog(work / LOG, COLUMNS), identity, console.progress)
    torch.manual_seed(seed)
    vae = new_vae()
    train_encoder(vae, code, data, workshop)
    torch.manual_seed(seed + 4)
    train_decoder(vae, code, data, classifier, workshop)
    torch.manual_seed(seed + 1)
    unet = train_unet(code, data, workshop, budget.unet)
    if longer_steps:
        torch.manual_seed(seed + 5)
        further = replace(workshop, identity=identity | {"unet_steps": unet_steps})
        unet = train_unet(code, data, further, budget.unet_longer, start_from=unet)
    made = [out]
    if inpaint_steps:
        torch.manual_seed(seed + 2)
        after = identity | {"unet_steps": unet_steps, "longer_steps": longer_steps}
        more, start = replace(workshop, identity=after), expand_for_inpainting(unet)
        wide = train_unet(code, data, more, budget.unet_inpaint(inpaint_steps), inpaint=True, start_from=start)
        made.append(inpainting)
        assemble(vae.float(), wide, made[1], more, per_cell, inpaint_steps)
    assemble(vae.float(), unet, out, workshop, per_cell)
    console.out.print("wrote " + " and ".join(str(m) for m in made) + "; measure it with: bench builtin")

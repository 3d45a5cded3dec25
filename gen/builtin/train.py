"""Training the built-in pipeline in resumable stages: autoencoder, UNet with text encoder, decoder once more."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gen.builtin import checkpoint
from gen.builtin.classifier import perceptual_distance
from gen.builtin.data import CELLS, Phantoms, to_tensor, turned
from gen.builtin.model import new_scheduler, new_text_encoder, new_tokenizer, new_unet, new_vae, prompt_for
from shards.console import progress

CHECKPOINT_EVERY = 250
PERCEPTUAL = 0.3  # weight of what a classifier sees beside plain differences of pixels


@dataclass(frozen=True)
class Budget:
    """Optimiser steps and batch sizes of the stages."""

    vae_steps: int = 2400
    vae_batch: int = 8
    decoder_steps: int = 1500
    unet_steps: int = 4500
    unet_batch: int = 32


def fit(
    name: str, folder: Path, module: nn.Module, loss_at: Callable[[], Tensor], *, steps: int, batch: int,
    learning_rate: float, decay: float, device: torch.device, betas: tuple[float, float] = (0.9, 0.99),
) -> None:
    """Minimise `loss_at()` with AdamW and a cosine schedule, then leave the averaged weights in `module`.

    Goes on from FOLDER/name.ckpt.safetensors when it exists and appends to FOLDER/log.csv.
    """
    optimizer = torch.optim.AdamW(module.parameters(), learning_rate, betas=betas, weight_decay=0.01)
    average = checkpoint.Average(module, decay)
    path = folder / f"{name}.ckpt.safetensors"
    start = checkpoint.load(path, module, average, optimizer) if path.exists() else 0
    begun, recent = time.monotonic(), []
    with progress(f"train {name}", steps - start, "steps") as tick:
        for step in range(start, steps):
            ramp = min(1.0, (step + 1) / 100)
            rate = learning_rate * ramp * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = loss_at()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            average.update(module)
            recent.append(float(loss.detach()))
            if (step + 1) % 100 == 0:
                _log(folder, name, step + 1, (step + 1) * batch, float(np.mean(recent)), time.monotonic() - begun)
                recent = []
            if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
                checkpoint.save(path, step + 1, module, average, optimizer)
            tick(note=f"loss {float(loss.detach()):.4f}")
    module.load_state_dict(average.values)
    module.to(device).eval()


def _log(folder: Path, stage: str, step: int, samples: int, loss: float, seconds: float) -> None:
    path = folder / "log.csv"
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["stage", "step", "samples", "loss", "seconds_since_start_of_stage"])
        writer.writerow([stage, step, samples, f"{loss:.5f}", f"{seconds:.0f}"])


def train_vae(
    data: Phantoms, classifier: nn.Module, folder: Path, budget: Budget, device: torch.device,
) -> AutoencoderKL:
    """The autoencoder: pixels at three scales, what a classifier sees, and a light KL."""
    vae = new_vae().to(device)
    classifier = classifier.to(device).requires_grad_(False)

    def loss_at() -> Tensor:
        pick = torch.randint(len(data.images), (budget.vae_batch,)).numpy()
        x = turned(to_tensor(data.images[pick], device))
        posterior = vae.encode(x).latent_dist
        return _difference(vae.decode(posterior.sample()).sample, x, classifier) + 1e-6 * posterior.kl().mean()

    fit("vae", folder, vae, loss_at, steps=budget.vae_steps, batch=budget.vae_batch, learning_rate=2e-3, decay=0.995,
        device=device)
    return vae


def _difference(restored: Tensor, x: Tensor, classifier: nn.Module) -> Tensor:
    """L1 at three scales, so that form counts more than grain, and the perceptual distance."""
    scales = torch.stack([F.avg_pool2d(restored - x, k).abs().mean() for k in (1, 2, 4)])
    return scales.sum() + PERCEPTUAL * perceptual_distance(classifier, x, restored)


@torch.no_grad()
def cache_latents(vae: AutoencoderKL, data: Phantoms, folder: Path, device: torch.device) -> tuple[Tensor, float]:
    """Latents of every image, [n, c, h, w], and the scale that makes them unit."""
    path = folder / "latents.safetensors"
    if not path.exists():
        rows = []
        with progress("encode latents", len(data.images)) as tick:
            for start in range(0, len(data.images), 64):
                x = to_tensor(data.images[start : start + 64], device)
                rows.append(vae.encode(x).latent_dist.mode().cpu().contiguous())
                tick(len(x))
        save_file({"latents": torch.cat(rows)}, path)
    latents = load_file(path)["latents"]
    return latents, float(1 / latents.std())


class _Decoder(nn.Module):
    """The half of an autoencoder that turns latents into images."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, latents: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(latents))


def sharpen_decoder(
    vae: AutoencoderKL, latents: Tensor, data: Phantoms, classifier: nn.Module, folder: Path, budget: Budget,
    device: torch.device,
) -> None:
    """More steps for the decoder alone, on the cached latents.

    A little noise on the latents makes it forgive what the UNet gets slightly wrong.
    """
    decoder = _Decoder(vae).train()
    classifier = classifier.to(device).requires_grad_(False)
    spread = float(latents.std())

    def loss_at() -> Tensor:
        pick = torch.randint(len(latents), (budget.vae_batch,))
        x, z = to_tensor(data.images[pick.numpy()], device), latents[pick].to(device)
        return _difference(decoder(z + 0.03 * spread * torch.randn_like(z)), x, classifier)

    fit("decoder", folder, decoder, loss_at, steps=budget.decoder_steps, batch=budget.vae_batch, learning_rate=1.5e-3,
        decay=0.995, device=device)


class Denoiser(nn.Module):
    """The UNet and the text encoder, trained together."""

    def __init__(self, inpaint: bool = False) -> None:
        super().__init__()
        self.tokenizer = new_tokenizer()
        self.unet = new_unet(inpaint)
        self.text_encoder = new_text_encoder(self.tokenizer)

    def forward(self, x: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """Predict v; x [b, c, h, w], t [b], ids [b, 16]."""
        return self.unet(x, t, self.text_encoder(ids).last_hidden_state).sample


def token_ids(denoiser: Denoiser) -> Tensor:
    """Token ids of every cell's prompt, then of the empty prompt, [37, 16]."""
    prompts = [*(prompt_for(c, g) for c, g in CELLS), ""]
    return denoiser.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids


def train_unet(
    latents: Tensor, scale: float, cells: np.ndarray, folder: Path, budget: Budget, device: torch.device,
    *, inpaint: bool = False, start_from: Denoiser | None = None,
) -> Denoiser:
    """v-prediction with min-SNR weights (Hang 2023, arXiv 2303.09556), prompts dropped one time in ten.

    The weight has a floor because min-SNR is 0 at a zero terminal SNR, where the tone is decided.
    """
    denoiser = (start_from or Denoiser(inpaint)).to(device)
    ids, labels = token_ids(denoiser).to(device), torch.from_numpy(cells).to(device)
    latents = (latents * scale).to(device)
    alphas = new_scheduler().alphas_cumprod.to(device)
    snr = alphas / (1 - alphas).clamp(min=1e-8)
    weights = (snr.clamp(max=5) / (snr + 1)).clamp(min=0.3)
    batch = budget.unet_batch

    def loss_at() -> Tensor:
        pick = torch.randint(len(latents), (batch,), device=device)
        x = latents[pick]
        t = ((torch.arange(batch) + torch.rand(batch)) / batch * len(alphas)).long().to(device)
        a = alphas[t, None, None, None]
        noise = torch.randn_like(x)
        noisy, target = a.sqrt() * x + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * x
        if inpaint:
            noisy = torch.cat([noisy, *_masked(x)], dim=1)
        prompt = torch.where(torch.rand(batch, device=device) < 0.1, len(ids) - 1, labels[pick])
        error = (denoiser(noisy, t, ids[prompt]) - target).square().mean((1, 2, 3))
        return (error * weights[t]).mean()

    name = "unet-inpaint" if inpaint else "unet"
    fit(name, folder, denoiser, loss_at, steps=budget.unet_steps, batch=batch, learning_rate=8e-4, decay=0.999,
        device=device)
    return denoiser


def _masked(x: Tensor) -> tuple[Tensor, Tensor]:
    """Random rectangles to be filled, [b, 1, h, w], 1 where unknown, and the latents without them."""
    b, _, h, w = x.shape
    low, high = torch.rand(2, b, 2, 1, device=x.device).sort(dim=0).values
    rows, columns = torch.arange(h, device=x.device) / h, torch.arange(w, device=x.device) / w
    inside_y = (rows >= low[:, 0]) & (rows < high[:, 0])
    inside_x = (columns >= low[:, 1]) & (columns < high[:, 1])
    mask = (inside_y[:, :, None] & inside_x[:, None, :]).float()[:, None]
    mask = torch.where(torch.rand(b, 1, 1, 1, device=x.device) < 0.15, torch.ones_like(mask), mask)
    return mask, x * (1 - mask)


def expand_for_inpainting(trained: Denoiser) -> Denoiser:
    """An inpainting copy that starts as the trained one: the weights of its new input channels are zero."""
    grown = Denoiser(inpaint=True)
    state = trained.state_dict()
    narrow = state["unet.conv_in.weight"]
    wide = torch.zeros_like(grown.state_dict()["unet.conv_in.weight"])
    wide[:, : narrow.shape[1]] = narrow
    grown.load_state_dict(state | {"unet.conv_in.weight": wide})
    return grown

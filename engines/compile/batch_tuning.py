"""Which batch sizes are fastest on this machine: measured at build time, kept in the bundle."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from pydantic import BaseModel, ConfigDict

from engines.bundle import Bundle
from engines.errors import EngineError
from engines.loader import open_bundle

ROWS = (2, 4, 8, 16, 32, 64, 128)
VAE_BATCHES = (1, 2, 4, 8, 16)
PAYS = 0.97  # a larger batch must be 3 % faster a row: a smaller one fills a short tail with less waste
SLOW_S = 20.0  # a call longer than this is not repeated, nor doubled


class Timings(BaseModel):
    """`timings.json`: seconds a row of the UNet and a decoded image, by batch size, and what was chosen."""

    model_config = ConfigDict(frozen=True)

    rows: int
    vae_batch: int
    unet_seconds_per_row: dict[int, float]
    decode_seconds_per_image: dict[int, float]


def choose_sizes(
    bundle: Bundle, backend: str, rows: Sequence[int] = ROWS, vae_batches: Sequence[int] = VAE_BATCHES
) -> Timings:
    """Time the UNet at several row counts and the decoder at several batches; take the smallest that is fast."""
    spec = bundle.manifest.spec
    side = spec.latent_size

    def unet(rows: int) -> Callable[[], torch.Tensor]:
        calls = open_bundle(bundle, backend, rows=rows).calls
        sample = torch.randn((rows, spec.unet_in_channels, side, side), device=calls.device)
        words = torch.randn((rows, spec.max_length, spec.text_dim), device=calls.device)
        times = torch.full((rows,), spec.num_train_timesteps / 2, device=calls.device)
        return lambda: calls.unet(sample, times, words)

    def decode(batch: int) -> Callable[[], torch.Tensor]:
        manifest = bundle.manifest.model_copy(update={"vae_batch": batch})
        calls = open_bundle(Bundle(bundle.folder, manifest), backend).calls
        latents = torch.randn((batch, spec.latent_channels, side, side), device=calls.device)
        return lambda: calls.decode(latents)

    best_rows, unet_seconds = _sweep(unet, rows)
    vae_batch, decode_seconds = _sweep(decode, vae_batches)
    return Timings(
        rows=best_rows, vae_batch=vae_batch, unet_seconds_per_row=unet_seconds, decode_seconds_per_image=decode_seconds
    )


def _sweep(prepare: Callable[[int], Callable[[], torch.Tensor]], sizes: Sequence[int]) -> tuple[int, dict[int, float]]:
    """The best size, and seconds an item of every size that was tried."""
    seconds: dict[int, float] = {}
    best = sizes[0]
    for size in sizes:
        try:
            call = prepare(size)
            each = _best_of(call)
        except (torch.cuda.OutOfMemoryError, EngineError):
            if not seconds:
                raise
            break
        seconds[size] = each / size
        if seconds[size] < PAYS * seconds[best]:
            best = size
        elif size > 4 * best or each > SLOW_S:
            break
    return best, seconds


def _best_of(call: Callable[[], torch.Tensor], repeats: int = 4) -> float:
    """The shortest of a few runs after one to warm up, with the device waited for."""
    shortest = float("inf")
    for _ in range(repeats + 1):
        start = time.perf_counter()
        out = call()
        if out.device.type == "cuda":
            torch.cuda.synchronize(out.device)
        took = time.perf_counter() - start
        shortest = min(shortest, took)
        if took > SLOW_S:
            break
    return shortest

"""The batch sizes that are fastest on this machine, measured when a bundle is built."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from pydantic import ConfigDict

from engines.bundle import Bundle
from engines.conditioning import gauss
from engines.errors import EngineError
from engines.loader import open_bundle
from engines.manifest import Record
from engines.memory import explained

ROWS = (2, 4, 8, 16, 32, 64, 128)
VAE_BATCHES = (1, 2, 4, 8, 16)
PAYS = 0.97  # a larger batch must be 3 % faster per row: a smaller batch wastes less at the end of a run
SLOW_S = 20.0  # a call that takes longer is not repeated, and no larger batch is tried


class Timings(Record):
    """`timings.json`: seconds per batch row of the UNet and per decoded image by batch size, and the sizes chosen."""

    model_config = ConfigDict(frozen=True)

    rows: int
    vae_batch: int
    unet_seconds_per_row: dict[int, float]
    decode_seconds_per_image: dict[int, float]


def choose_sizes(
    bundle: Bundle, backend: str, rows: Sequence[int] = ROWS, vae_batches: Sequence[int] = VAE_BATCHES
) -> Timings:
    """Time the UNet and the decoder at several batch sizes, and choose the smallest size of each that is fast."""
    spec = bundle.manifest.spec
    side = spec.latent_size

    def unet(rows: int) -> Callable[[], torch.Tensor]:
        calls = open_bundle(bundle, backend, rows=rows).calls
        sample = torch.randn((rows, spec.unet_in_channels, side, side), device=calls.device)
        words = gauss(spec.conditioning, rows, calls.device)
        times = torch.full((rows,), spec.num_train_timesteps / 2, device=calls.device)
        return lambda: calls.denoise(sample, times, *words.values())

    def decode(batch: int) -> Callable[[], torch.Tensor]:
        manifest = bundle.manifest.model_copy(update={"vae_batch": batch})
        calls = open_bundle(replace(bundle, manifest=manifest), backend).calls
        latents = torch.randn((batch, spec.latent_channels, side, side), device=calls.device)
        return lambda: calls.decode(latents)

    best_rows, unet_seconds = _sweep(unet, rows)
    vae_batch, decode_seconds = _sweep(decode, vae_batches)
    return Timings(
        rows=best_rows, vae_batch=vae_batch, unet_seconds_per_row=unet_seconds, decode_seconds_per_image=decode_seconds
    )


def _sweep(prepare: Callable[[int], Callable[[], torch.Tensor]], sizes: Sequence[int]) -> tuple[int, dict[int, float]]:
    """The best size, and the seconds per item of every size that was tried."""
    seconds: dict[int, float] = {}
    best = sizes[0]
    for size in sizes:
        try:
            with explained(f"a batch of {size}"):
                each = _best_of(prepare(size))
        except EngineError:
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
    """Seconds of the fastest of a few runs after one to warm up; each waits for the device."""
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

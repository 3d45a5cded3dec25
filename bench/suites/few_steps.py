"""Few steps: what an image costs at 1, 2, 4 and 8 of them, with the VAE's decoder and with a small one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from bench.measure.record import Measurement, per_second
from bench.measure.timing import Tick, in_turn, median, seconds, silent
from bench.peers.workload import unet_rows, workload
from bench.suites.sampling import Ours, Run
from engines.checkpoint.skeleton import empty_network
from engines.engine import Engine
from engines.pipeline_spec import PipelineSpec
from gen.decoder.settings import DecoderSettings
from gen.decoder.student import new_student

STEPS = (1, 2, 4, 8)


def few_steps(
    engines: Mapping[str, Engine],
    images: int,
    guidance: float,
    scratch: Path,
    *,
    steps: Sequence[int] = STEPS,
    repeats: int = 5,
    tick: Tick = silent,
) -> list[Measurement]:
    """Images per second to disk of engines that differ in their decoder, in turns.

    Parameters
    ----------
    engines
        By the name of the decoder.

    Returns
    -------
    list
        `few-steps/STEPS/DECODER`; `decoding` is the decoder's own time as a share of the run's, which on a GPU may
        overlap with denoising.
    """
    device = next(iter(engines.values())).device
    each = {name: _decoding(engine, repeats) for name, engine in engines.items()}
    runs: dict[str, Run] = {}
    rows: dict[str, int] = {}
    for count in steps:
        for name, engine in engines.items():
            work, key = workload(engine.spec, images, steps=count, guidance=guidance), f"{count}/{name}"
            runs[key], rows[key] = Ours(engine, work, scratch / f"{name}-{count}"), unet_rows(engine.spec, work.rows[0])
    found = []
    for key, took in in_turn(runs, device, repeats=repeats, tick=tick).items():
        share = each[key.split("/")[1]] * images / median(took)
        details = {"rows/image": rows[key], "decoding": share, "guidance": guidance}
        found.append(per_second(f"few-steps/{key}", took, images, "images/s", **details))
    return found


def _decoding(engine: Engine, repeats: int) -> float:
    """Seconds to decode one image, in batches of the engine's."""
    spec = engine.spec
    shape = (engine.vae_batch, spec.latent_channels, spec.latent_size, spec.latent_size)
    latents = torch.randn(shape, device=engine.device)
    return median(seconds(lambda: engine.decode(latents), engine.device, repeats=repeats)) / engine.vae_batch


def random_decoder(model: Path, spec: PipelineSpec, folder: Path) -> Path:
    """A decoder of the shapes that `gen distill-decoder` takes, with random weights: speed does not depend on them."""
    new_student(empty_network(model, "vae"), spec, DecoderSettings()).save_pretrained(folder)
    return folder

"""An engine against the device's ceiling and against its peers: per component, over rows, and whole images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

import engines
from bench.measure.device import PeakMemory
from bench.measure.flops import Flops, count
from bench.measure.record import Measurement, known, per_second
from bench.measure.timing import in_turn, median, seconds
from bench.peers import draw
from bench.peers.draw import Job
from bench.peers.pipelines import PEERS, precision_of
from bench.suites import roofline
from dermforge.common.errors import UserError
from engines.engine import TEXT_BATCH, Engine
from engines.pipeline_spec import model_digest

Tick = Callable[[str], object]


@dataclass(frozen=True)
class Loaded:
    """A bundle that was opened, and how much memory and time it took."""

    name: str
    engine: Engine
    build_seconds: float | None = None


def ceilings(device: torch.device, precisions: Sequence[str], repeats: int) -> list[Measurement]:
    """The matmul ceiling of each precision that the engines run in, and the copy ceiling."""
    found = [roofline.matmul(device, precision, repeats=repeats) for precision in sorted(set(precisions))]
    return [*found, roofline.copy(device, repeats=repeats)]


def check_same_model(model: Path, loaded: Sequence[Loaded]) -> None:
    """Peers must run the bundle's own weights.

    Raises
    ------
    UserError
        A bundle was built from another pipeline folder.
    """
    digest = model_digest(model)
    for one in loaded:
        if one.engine.model_digest != digest:
            raise UserError(
                f"{one.name} was built from other weights ({one.engine.model_digest[:12]}) than {model} "
                f"({digest[:12]}); give the bundle's own pipeline folder with --model"
            )


def components(
    one: Loaded, flops: Flops, ceiling: float, *, repeats: int, tick: Tick = lambda _: None
) -> list[Measurement]:
    """Latency, arithmetic and share of the ceiling of each of an engine's four calls, at its static batches.

    Parameters
    ----------
    ceiling
        TFLOP/s of matrix products in the engine's precision on this device.
    """
    engine, spec = one.engine, one.engine.spec
    side, device = spec.latent_size, engine.device
    words = torch.randn(engine.rows, spec.max_length, spec.text_dim, device=device)
    noisy = torch.randn(engine.rows, spec.unet_in_channels, side, side, device=device)
    times = torch.full((engine.rows,), spec.num_train_timesteps / 2, device=device)
    latents = torch.randn(engine.vae_batch, spec.latent_channels, side, side, device=device)
    pixels = torch.randint(0, 256, (engine.vae_batch, spec.size, spec.size, 3), dtype=torch.uint8, device=device)
    ids = engine.tokenize([f"a {i}" for i in range(TEXT_BATCH)]).to(device)
    calls: Mapping[str, tuple[Callable[[], object], int, float]] = {
        "text_encoder": (lambda: engine.calls.text(ids), TEXT_BATCH, flops.text),
        "unet": (lambda: engine.unet(noisy, times, words), engine.rows, flops.unet),
        "vae_decoder": (lambda: engine.decode(latents), engine.vae_batch, flops.decode),
        "vae_encoder": (lambda: engine.encode(pixels), engine.vae_batch, flops.encode),
    }
    found = []
    for name, (call, rows, each) in calls.items():
        with PeakMemory(device) as memory:
            took = seconds(call, device, repeats=repeats, warmup=2)
        rate = rows * each / median(took) / 1e12
        found.append(
            Measurement(
                name=f"component/{one.name}/{name}",
                unit="s",
                better="lower",
                samples=took,
                details={
                    "rows": rows,
                    "precision": engine.precision,
                    "TFLOP/s": rate,
                    "share": rate / ceiling,
                    "memory MB": known(memory.megabytes),
                },
            )
        )
        tick(name)
    return found


def rows_sweep(
    one: Loaded,
    rows: Sequence[int],
    job: Job,
    flops: Flops,
    ceiling: float,
    *,
    repeats: int,
    tick: Tick = lambda _: None,
) -> list[Measurement]:
    """UNet rows a second over row counts, each a static size of its own, and how many an image of the job takes."""
    each = draw.unet_rows(one.engine.spec, job.rows[0])
    found = []
    for n in possible_rows(one.engine, rows):
        engine = engines.load(one.engine.bundle.folder, one.engine.backend, rows=n)
        spec, device = engine.spec, engine.device
        side = spec.latent_size
        words = torch.randn(n, spec.max_length, spec.text_dim, device=device)
        noisy = torch.randn(n, spec.unet_in_channels, side, side, device=device)
        times = torch.full((n,), spec.num_train_timesteps / 2, device=device)
        took = seconds(partial(engine.unet, noisy, times, words), device, repeats=repeats, warmup=2)
        rate = n * flops.unet / median(took) / 1e12
        found.append(
            per_second(
                f"rows/{one.name}/{n:04d}", took, n, "UNet rows/s", rows=n, share=rate / ceiling, **{"rows/image": each}
            )
        )
        tick(f"{n} rows")
    return found


def possible_rows(engine: Engine, rows: Sequence[int]) -> list[int]:
    """Those row counts that a bundle opens with: plans are compiled for one, on a CPU for multiples of one."""
    if not engine.bundle.find("plan", engine.backend):
        return list(rows)
    compiled = engine.bundle.manifest.rows
    return [n for n in rows if n == compiled or (engine.device.type == "cpu" and n % compiled == 0)]


def whole(
    loaded: Sequence[Loaded],
    model: Path,
    job: Job,
    flops: Flops,
    ceiling: Mapping[str, float],
    *,
    peers: Sequence[str],
    batches: Sequence[int],
    repeats: int,
    tick: Tick = lambda _: None,
) -> list[Measurement]:
    """Images a second from prompts to pixels, of the engines and of their peers, a round of all at a time.

    Peers run on the device and in the precision of the first engine. A peer's agreement is the PSNR between its
    images and that engine's: another number of steps or another solver would show.
    """
    first = loaded[0].engine
    images = len(job.rows)
    work = flops.image(draw.unet_rows(first.spec, job.rows[0]))
    calls: dict[str, draw.Draw] = {f"ours/{one.name}": _ours(one.engine, job) for one in loaded}
    details: dict[str, dict[str, str | int | float | bool | None]] = {
        f"ours/{one.name}": {"precision": one.engine.precision, "batch": one.engine.rows // 2} for one in loaded
    }
    for peer in peers:
        for batch in batches:
            name = f"{peer}/batch {batch}"
            tick(name)
            calls[name] = PEERS[peer](model, job, batch, device=first.device, precision=first.precision)
            details[name] = {"precision": precision_of(peer, first.precision, first.device), "batch": batch}
    expected = None
    for name, call in calls.items():  # the warm-up too: what it draws is compared
        with PeakMemory(first.device) as memory:
            drawn = call()
        expected = drawn if expected is None else expected
        details[name] |= {"agreement dB": draw.agreement(expected, drawn), "memory MB": known(memory.megabytes)}
        tick(name)
    timed = in_turn(calls, first.device, repeats=repeats, warmup=1, tick=tick)
    found = []
    for name, took in timed.items():
        rate = images * work / median(took) / 1e12
        shared = {"TFLOP/s": rate, "share": known(rate / ceiling.get(str(details[name]["precision"]), math.nan))}
        found.append(per_second(f"whole/{name}", took, images, "images/s", **details[name], **shared))
    return found


#: What an engine must reach, by device: times each peer's rate, and on a GPU the share of its matmul ceiling.
BARS = {"cpu": {"diffusers": 2.0, "optimum": 1.5}, "cuda": {"diffusers": 3.0, "diffusers-compile": 1.3}}
SHARE_BAR = 0.65
PAPER_BATCH = 16


def speedups(whole: Sequence[Measurement], kind: str) -> list[Measurement]:
    """How many times each peer's best batch every engine's rate is worth, beside what is asked for.

    On a GPU plain diffusers is taken at the paper's batch of 16 where that was run; the first engine's share of the
    ceiling is added.
    """
    runs: dict[str, list[Measurement]] = {}
    for m in whole:
        runs.setdefault(m.name.split("/")[1], []).append(m)
    mine = runs.pop("ours")
    found = []
    for peer, tried in runs.items():
        papers = [m for m in tried if m.details["batch"] == PAPER_BATCH]
        best = max(papers if papers and (kind, peer) == ("cuda", "diffusers") else tried, key=lambda m: m.median)
        for ours in mine:
            whose = "" if ours is mine[0] else ours.name.removeprefix("whole/ours/") + " "
            found.append(
                Measurement(
                    name=f"speedup/{whose}over {peer}",
                    unit="x",
                    better="higher",
                    samples=[a / b for a, b in zip(ours.samples, best.samples, strict=True)],
                    details={
                        "precision": ours.details["precision"],
                        "its precision": best.details["precision"],
                        "its batch": best.details["batch"],
                        **_bar(BARS[kind].get(peer)),
                    },
                )
            )
    share = mine[0].details.get("share")
    if kind == "cuda" and isinstance(share, float):
        found.append(
            Measurement(
                name="share/ours", unit="of the ceiling", better="higher", samples=[share], details=_bar(SHARE_BAR)
            )
        )
    return found


def _bar(bar: float | None) -> dict[str, str | int | float | bool | None]:
    return {} if bar is None else {"bar": bar}


def builds(loaded: Sequence[Loaded]) -> list[Measurement]:
    """Seconds that bundles took to build, where they were built here."""
    return [
        Measurement(
            name=f"build/{one.name}",
            unit="s",
            better="lower",
            samples=[one.build_seconds],
            details={"backend": one.engine.backend, "precision": one.engine.precision},
        )
        for one in loaded
        if one.build_seconds is not None
    ]


def measured_flops(model: Path, engine: Engine) -> Flops:
    """Of a pipeline folder at an engine's size."""
    return count(model, engine.spec)


def _ours(engine: Engine, job: Job) -> draw.Draw:
    return lambda: draw.draw(engine, job.rows)

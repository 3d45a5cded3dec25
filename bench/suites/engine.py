"""An engine compared with the device's ceiling and with its peers: per component, over batch rows, whole images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

import engines
from bench.measure.bars import PEER_BARS, SHARE_BAR
from bench.measure.device import PeakMemory
from bench.measure.flops import Flops
from bench.measure.record import Detail, Measurement, higher, known, lower, per_second, ratios
from bench.measure.timing import Tick, in_turn, median, seconds, silent
from bench.peers.pipelines import PEERS, PeerModel, precision_of
from bench.peers.workload import Generate, Images, Workload, unet_rows
from bench.suites import roofline
from dermforge.common.errors import UserError
from engines.calls import TEXT_BATCH
from engines.conditioning import gauss
from engines.engine import Engine
from engines.manifest import USUAL_MODE, CompileMode
from engines.pipeline_spec import model_digest
from engines.psnr import psnr
from gen.plan.plan import PlanRow
from gen.sampling.in_memory import sample_images
from gen.sampling.warm_up import warm_up


@dataclass(frozen=True)
class Loaded:
    """A bundle that was opened, and how long it took to build if it was built here. device: as it was asked for."""

    name: str
    engine: Engine
    build_seconds: float | None = None
    device: str | None = None

    def with_rows(self, rows: int) -> Engine:
        """The same engine with another number of batch rows."""
        like = self.engine
        return engines.load(
            like.bundle.folder, like.backend, device=self.device, rows=rows, compile_mode=like.compile_mode
        )


@dataclass(frozen=True)
class Setup:
    """What the measurements of one benchmark share.

    Attributes
    ----------
    flops
        Of the pipeline at the engines' image size.
    ceilings
        TFLOP/s of matrix products on this device, by precision.
    compile_mode
        Of the peers that are compiled.
    tick
        Told the name of each part when it is done.
    """

    model: Path
    workload: Workload
    flops: Flops
    ceilings: Mapping[str, float]
    repeats: int
    tick: Tick = silent
    compile_mode: CompileMode = USUAL_MODE


def ceilings(device: torch.device, precisions: Sequence[str], repeats: int) -> list[Measurement]:
    """The matmul ceiling of each precision, and the copy ceiling."""
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
                f"({digest[:12]}); give the bundle's own pipeline folder as the model"
            )


def components(one: Loaded, setup: Setup) -> list[Measurement]:
    """Latency, TFLOP/s and share of the ceiling of each of an engine's four calls, at its static batches."""
    flops, ceiling = setup.flops, setup.ceilings[one.engine.precision]
    engine, spec = one.engine, one.engine.spec
    side, device = spec.latent_size, engine.device
    words = gauss(spec.conditioning, engine.rows, device)
    noisy = torch.randn(engine.rows, spec.unet_in_channels, side, side, device=device)
    times = torch.full((engine.rows,), spec.num_train_timesteps / 2, device=device)
    latents = torch.randn(engine.vae_batch, spec.latent_channels, side, side, device=device)
    pixels = torch.randint(0, 256, (engine.vae_batch, spec.size, spec.size, 3), dtype=torch.uint8, device=device)
    ids = engine.tokenize([f"a {i}" for i in range(TEXT_BATCH)]).to(device)
    calls: Mapping[str, tuple[Callable[[], object], int, float]] = {
        "text_encoder": (lambda: engine.calls.text(ids), TEXT_BATCH, flops.text),
        spec.denoiser: (lambda: engine.denoise(noisy, times, words), engine.rows, flops.unet),
        "vae_decoder": (lambda: engine.decode(latents), engine.vae_batch, flops.decode),
        "vae_encoder": (lambda: engine.encode(pixels), engine.vae_batch, flops.encode),
    }
    found = []
    for name, (call, rows, each) in calls.items():
        with PeakMemory(device) as memory:
            took = seconds(call, device, repeats=setup.repeats, warmup=2)
        rate = rows * each / median(took) / 1e12
        details: dict[str, Detail] = {
            "rows": rows,
            "precision": engine.precision,
            "TFLOP/s": rate,
            "share": rate / ceiling,
        }
        details["memory MB"] = known(memory.megabytes)
        found.append(lower(f"component/{one.name}/{name}", "s", took, details))
        setup.tick(name)
    return found


def rows_sweep(one: Loaded, rows: Sequence[int], setup: Setup) -> list[Measurement]:
    """The denoiser's batch rows per second at several batch sizes, and how many an image of the workload takes."""
    each, ceiling = unet_rows(one.engine.spec, setup.workload.rows[0]), setup.ceilings[one.engine.precision]
    found = []
    for n in possible_rows(one.engine, rows):
        engine = one.with_rows(n)
        spec, device = engine.spec, engine.device
        side = spec.latent_size
        words = gauss(spec.conditioning, n, device)
        noisy = torch.randn(n, spec.unet_in_channels, side, side, device=device)
        times = torch.full((n,), spec.num_train_timesteps / 2, device=device)
        took = seconds(partial(engine.denoise, noisy, times, words), device, repeats=setup.repeats, warmup=2)
        rate = n * setup.flops.unet / median(took) / 1e12
        found.append(
            per_second(
                f"rows/{one.name}/{n:04d}",
                took,
                n,
                "denoiser rows/s",
                rows=n,
                share=rate / ceiling,
                **{"rows/image": each},
            )
        )
        setup.tick(f"{n} rows")
    return found


def possible_rows(engine: Engine, rows: Sequence[int]) -> list[int]:
    """The batch sizes that a bundle can run: an engine file is compiled for one; on a CPU, multiples of it work too."""
    if not engine.bundle.engine_files(engine.backend):
        return list(rows)
    compiled = engine.bundle.manifest.rows
    return [n for n in rows if n == compiled or (engine.device.type == "cpu" and n % compiled == 0)]


def whole(loaded: Sequence[Loaded], peers: Sequence[str], batches: Sequence[int], setup: Setup) -> list[Measurement]:
    """Images per second from prompts to pixels, of the engines and of their peers, in turns.

    Peers run on the device and in the precision of the first engine. A peer's agreement is the PSNR between its
    images and those of that engine; another number of steps or another solver would lower it. The memory of our
    engines is that of all that are open; a peer's is what it took beyond what was held before it was loaded.
    """
    first, rows = loaded[0].engine, setup.workload.rows
    images = len(rows)
    work = setup.flops.image(unet_rows(first.spec, rows[0]))
    calls: dict[str, Generate] = {}
    details: dict[str, dict[str, Detail]] = {}
    expected: Images | None = None

    def add(name: str, make: Callable[[], Generate], added: bool, **facts: Detail) -> None:
        """Make a contestant, and warm it up: those images are compared with the first one's."""
        nonlocal expected
        with PeakMemory(first.device, added=added) as memory:
            calls[name] = make()
            made = calls[name]()
        expected = made if expected is None else expected
        details[name] = facts | {"agreement dB": psnr(expected, made), "memory MB": known(memory.megabytes)}
        setup.tick(name)

    for one in loaded:
        ours = partial(_drawer, one.engine, rows)
        add(f"ours/{one.name}", ours, False, precision=one.engine.precision, batch=one.engine.rows // 2)
    model = PeerModel(setup.model, first.device, first.precision, setup.compile_mode)
    for peer in peers:
        for batch in batches:
            name, precision = f"{peer}/batch {batch}", precision_of(peer, first.precision, first.device)
            setup.tick(name)
            add(name, partial(PEERS[peer], model, setup.workload, batch), True, precision=precision, batch=batch)
    timed = in_turn(calls, first.device, repeats=setup.repeats, warmup=1, tick=setup.tick)
    found = []
    for name, took in timed.items():
        rate = images * work / median(took) / 1e12
        shared = {"TFLOP/s": rate, "share": known(rate / setup.ceilings.get(str(details[name]["precision"]), math.nan))}
        found.append(per_second(f"whole/{name}", took, images, "images/s", **details[name], **shared))
    return found


def _drawer(engine: Engine, rows: Sequence[PlanRow]) -> Generate:
    """The images of plan rows, by steps that are recorded once and not in every run that is timed."""
    return partial(sample_images, engine, rows, loop=warm_up(engine))


PAPER_BATCH = 16


def speedups(whole: Sequence[Measurement], kind: str) -> list[Measurement]:
    """Each engine's rate as a multiple of each peer's at its best batch, with the bar.

    On a GPU plain diffusers counts at the paper's batch of 16 if that was run, and the first engine's share of the
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
            details = {
                "precision": ours.details["precision"],
                "its precision": best.details["precision"],
                "its batch": best.details["batch"],
                **({"bar": bar} if (bar := PEER_BARS[kind].get(peer)) else {}),
            }
            found.append(higher(f"speedup/{whose}over {peer}", "x", ratios(ours.samples, best.samples), details))
    share = mine[0].details.get("share")
    if kind == "cuda" and isinstance(share, float):
        found.append(higher("share/ours", "of the ceiling", [share], {"bar": SHARE_BAR}))
    return found


def builds(loaded: Sequence[Loaded]) -> list[Measurement]:
    """Seconds that bundles took to build, for those built here."""
    return [
        lower(f"build/{one.name}", "s", [took], {"backend": one.engine.backend, "precision": one.engine.precision})
        for one in loaded
        if (took := one.build_seconds) is not None
    ]

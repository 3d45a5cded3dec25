"""`bench sample --few-steps`: images a second at 1, 2, 4 and 8 steps, with the VAE's decoder and with a small one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.commands.show import note
from bench.measure import models
from bench.measure.bundles import Wanted
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord
from dermforge.common import console

#: As distilled models have no unconditional rows.
GUIDANCE = 1.0


def measure(
    wanted: Wanted, model: str, decoder: Path | None, images: int, guidance: float, repeats: int, work: Path
) -> BenchmarkRecord:
    """Build a pipeline's bundle with both decoders, and measure them in turns; the small one may be random."""
    from bench.suites.few_steps import STEPS, few_steps, random_decoder
    from engines.adapters import with_decoder
    from engines.pipeline_spec import read_spec

    folder = models.find(model, work, note)
    small = decoder or random_decoder(folder, read_spec(folder), work / f"random-decoder-{folder.name}")
    with with_decoder(folder, small) as other:
        places = {
            "vae": wanted.build(folder, work, say=note)[0],
            "small": wanted.build(other, work / "small", may_fail=True, say=note)[0],
        }
    engines = {name: wanted.open(place) for name, place in places.items()}
    first = engines["vae"]
    facts = describe(first.device)
    with tempfile.TemporaryDirectory(prefix="dermforge-bench-") as scratch:
        runs = len(STEPS) * len(engines) * (1 + repeats)
        with console.progress("steps and decoders in turn", runs, "runs") as bar:
            found = few_steps(engines, images, guidance, Path(scratch), repeats=repeats, tick=lambda name: bar(1, name))
    settings = {"model": model, "images": images, "guidance": guidance, "rows": first.rows, "size": first.spec.size}
    settings |= {"precision": first.precision, "decoder": str(decoder) if decoder else "random weights"}
    return BenchmarkRecord(command="few-steps", facts=facts, measurements=found, settings=settings)

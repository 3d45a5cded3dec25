"""`bench roofline`: the ceilings of this device."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands import options
from bench.commands.show import deliver
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord
from dermforge.common import console
from dermforge.common.errors import UserError


def roofline(
    device: Annotated[str | None, typer.Option(help="cpu or cuda:N [default: CUDA where there is one]")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, tf32, fp16, bf16, fp8; repeatable")] = None,
    repeats: Annotated[int, typer.Option(help="Timed runs of each size.", min=1)] = 5,
    side: Annotated[list[int] | None, typer.Option(help="Matrix sides to try; repeatable.", min=1)] = None,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure the ceilings of a device: matrix products in each precision, and copies.

    Every share of a ceiling that bench prints is a share of these numbers, measured in the same run.

    Example: bench roofline --out results
    """
    from bench.suites import roofline as measure
    from engines.backends.torch_compiled import torch_device

    place = torch_device(device)
    facts = describe(place)
    usable = dict.fromkeys((*measure.precisions(place), *measure.DTYPES))
    if unknown := [name for name in precision or [] if name not in usable]:
        raise UserError(f"{facts.device} does not multiply in {unknown[0]!r}; expected {', '.join(usable)}")
    chosen = precision or list(measure.precisions(place))
    found = [
        measure.matmul(place, name, sides=tuple(side or ()), repeats=repeats)
        for name in console.track(chosen, "matrix products", len(chosen), "precisions")
    ]
    found.append(measure.copy(place, repeats=repeats))
    if place.type == "cuda":
        found.append(measure.upload(place, repeats=repeats))
    record = BenchmarkRecord(command="roofline", settings={"repeats": repeats}, facts=facts, measurements=found)
    deliver(record, out, as_json)

"""`bench roofline`: what this device can do at most."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench import roofline as measure
from bench.device import describe
from bench.record import Record, save, show
from engines.torch import torch_device
from shards import console


def roofline(
    device: Annotated[str | None, typer.Option(help="cpu or cuda:N [default: CUDA where there is one]")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, tf32, fp16, bf16, fp8; repeatable")] = None,
    repeats: Annotated[int, typer.Option(help="Timed runs of each size.", min=1)] = 5,
    side: Annotated[list[int] | None, typer.Option(help="Matrix sides to try; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for roofline.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Measure the ceilings of a device: matrix products in each precision, and copies.

    Every share of a ceiling that bench prints is of these numbers, measured in the same run, not of a data sheet.

    Example: bench roofline --out results
    """
    place = torch_device(device)
    facts = describe(place)
    chosen = precision or list(measure.precisions(place))
    found = [measure.matmul(place, name, sides=tuple(side or ()), repeats=repeats)
             for name in console.track(chosen, "matrix products", len(chosen), "precisions")]
    found.append(measure.copy(place, repeats=repeats))
    if place.type == "cuda":
        found.append(measure.upload(place, repeats=repeats))
    record = Record(command="roofline", settings={"repeats": repeats}, facts=facts, measurements=found)
    if out:
        save(record, out)
    if as_json:
        console.print_json(record.model_dump(mode="json"))
    else:
        show(record)

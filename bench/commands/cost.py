"""`bench cost`: what 1,000 images cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.commands.show import number
from bench.measure.cost import per_thousand, price_per_second
from bench.measure.record import records
from bench.peers.anchors import PER_DOLLAR
from dermforge.common import console
from dermforge.common.command_line import typed
from dermforge.common.errors import UserError


def cost(
    results: Annotated[
        Path, typer.Argument(help="A result, or a folder of them, as `bench paper --out` writes.")
    ] = Path("results"),
    price: Annotated[str, typer.Option(help="Of the machine, in any currency: 2.5/h, 0.04/min.")] = "2.5/h",
    as_json: Annotated[bool, typer.Option("--json", help="Print the costs as JSON.")] = False,
) -> None:
    """Cost per 1,000 images at every measured rate, with the interval of its repeats, and images for 1 of the currency.

    Example: bench cost results --price 2.5/h
    """
    second = price_per_second(price)
    rates = [m for record in records(results) for m in record.measurements if m.unit == "images/s"]
    if not rates:
        raise UserError(
            f"{results} holds no images/s; {typed('bench', 'paper', '--out', results)} or `bench engine` measures them"
        )
    costs = [per_thousand(rate, second) for rate in rates]
    if as_json:
        console.print_json([asdict(c) for c in costs])
        return
    table = Table("measured", "images/s", f"per 1,000 images at {price}", "95 % interval", "images for 1")
    for c in costs:
        reach = f"{number(c.low)} to {number(c.high)}" if c.low == c.low else number(c.low)
        table.add_row(c.name, number(c.images_per_second), number(c.cost), reach, number(c.images_for_one))
    console.out.print(table)
    console.say(
        f"Published: {PER_DOLLAR:,} images for 1 US dollar, SD 1.5 at 512 px, 25 Euler steps, guidance 8, on "
        "consumer GPUs (Salad). Compare it with the same model, size and steps only, at a price in dollars."
    )

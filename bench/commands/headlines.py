"""`bench headlines`: where the files of `make demo` are, and its three results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dermforge.common import console
from dermforge.common.errors import UserError
from dermforge.common.texts_as_values import json_value


def headlines(
    demo: Annotated[Path, typer.Argument(help="The folder of `make demo`.")] = Path("demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the headlines as JSON.")] = False,
) -> None:
    """Print where the report, contact sheet and shards of `make demo` are, and its headline results.

    Example: bench headlines demo
    """
    sampled = _read(demo / "sample.json", "gen sample --json")
    head = _read(demo / "report" / "run.json", "evalsuite run")["headline"]
    places = {
        "report": demo / "report" / "report.html",
        "contact sheet": demo / "shards" / "sheet.png",
        "shards": demo / "shards",
    }
    for name, place in places.items():
        if not place.exists():
            raise UserError(f"no {name} at {place}; run `make demo` again")
    speed = sampled.get("images_per_second")
    if as_json:
        console.print_json({**{k: str(v) for k, v in places.items()}, "images_per_second": speed, **head})
        return
    for name, place in places.items():
        console.say(f"{name}: {place}")
    rate = "all images were there already, none were sampled now" if speed is None else f"{speed:.1f} images per second"
    console.say(f"sampling: {rate}")
    for kind, name in (("real", "real images only"), ("mix", "real and synthetic")):
        console.say(f"accuracy, {name}: {_interval(head[kind])}")
    worst = head["worst_group"]["mix"]
    said = "not enough data" if worst is None else f"{worst['group']}, accuracy {_interval(worst)}"
    console.say(f"worst skin-tone group, real and synthetic: {said}")


def _interval(row: dict[str, Any]) -> str:
    return f"{row['accuracy']:.3f} (95% interval {row['low']:.3f} to {row['high']:.3f})"


def _read(path: Path, maker: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json_value(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; it is written by `{maker}`: run `make demo`") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); remove it and run `make demo` again") from error
    return content

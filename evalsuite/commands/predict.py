"""`evalsuite predict`: a checkpoint's predictions as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.atomic import write_whole
from dermforge.common.console import print_json, progress, say
from dermforge.common.errors import UserError
from dermforge.common.output_file import claim_table
from shards import open_data


def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint (`evalsuite train --out`).")],
    data: Annotated[Path, typer.Argument(help="Shards, or a folder of images with a CSV.")],
    table: Annotated[Path, typer.Option("--out", help="Table to write: .parquet or .csv.")],
    split: Annotated[str | None, typer.Option(help="Only this split: train, validation or test.")] = None,
    allow_leakage: Annotated[bool, typer.Option(help="Predict although the checkpoint has seen images.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Predict on images with a trained checkpoint.

    Example: evalsuite predict runs/clf demo/phantoms/test --out predictions.parquet
    """
    from dermforge.common.csv_cells import csv_bytes
    from dermforge.common.sealed_parquet import sealed
    from evalsuite.fairness.own_columns import PREFIX
    from evalsuite.training.checkpoint import read_record
    from evalsuite.training.predict import predict as predictions

    if table.suffix.lower() not in (".parquet", ".csv"):
        raise UserError(f"--out {table}: unknown kind of table {table.suffix!r}; expected .parquet or .csv")
    known = read_record(checkpoint).classes
    claim_table(table, "a table of this classifier's predictions", ["id", "label", *(PREFIX + name for name in known)])
    images = open_data(data)
    if split:
        images = images.where(split=split)
    if not images.n:
        raise UserError(f"{data} holds no images" + (f" of the split {split}" if split else ""))
    with progress("predict", images.n) as tick:
        frame = predictions(checkpoint, images, allow_leakage=allow_leakage, tick=tick)
    table.parent.mkdir(parents=True, exist_ok=True)
    write_whole(table, sealed(frame) if table.suffix.lower() == ".parquet" else csv_bytes(frame))
    likeliest = frame.filter(like="prob_").idxmax(axis=1)
    accuracy = float((likeliest == "prob_" + frame["label"]).mean())
    if as_json:
        print_json({"table": str(table), "n": len(frame), "accuracy": accuracy})
        return
    say(f"{len(frame)} predictions, accuracy {accuracy:.3f}: {table}")

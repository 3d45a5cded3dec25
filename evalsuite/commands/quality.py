"""`evalsuite quality`: fidelity, diversity and usefulness of synthetic images against real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.console import print_json, say
from evalsuite.images import artifacts
from evalsuite.images.features.extractors import SPECS, open_extractor
from evalsuite.images.features.features import Preprocess, extract, image_side
from evalsuite.images.quality.quality_report import per_image_table, quality_report
from evalsuite.stats.estimate import Estimate


def quality(
    real: Annotated[Path, typer.Argument(help="Real images: shards or a folder; best those the generator never saw.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic images: shards or a folder.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for tables and features.")] = Path("quality"),
    extractor: Annotated[list[str], typer.Option(help=f"May be given several times: {SPECS}.")] = [  # noqa: B006
        "random-conv-seed0",
        "colour-structure",
    ],
    size: Annotated[
        int | None, typer.Option(min=16, max=2048, help="Pixels both sides are brought to; default: as synthetic.")
    ] = None,
    jpeg: Annotated[int, typer.Option(min=0, max=100, help="JPEG quality both sides go through; 0 for none.")] = 95,
    split: Annotated[str | None, typer.Option(help="Only this split of the real images.")] = None,
    max_n: Annotated[int, typer.Option(min=20, help="Images a cell at most.")] = 5000,
    resamples: Annotated[int, typer.Option(min=10, help="Bootstrap resamples.")] = 100,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of subsets and resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Fidelity, diversity, precision and recall, accuracy scores and a real-or-synthetic test, for every cell.

    Without weights two documented feature sets are used, and no number is called FID. With the Inception file:
    --extractor torchscript:inception-2015-12-05.pt#SHA256. A perceptual summary needs DINOv2 or CLIP from a local
    folder: --extractor transformers:dinov2-base.

    Example: evalsuite quality demo/phantoms/test demo/shards --out demo/quality
    """
    networks = [open_extractor(spec, device) for spec in extractor]
    reals, synthetics = artifacts.open_images(real, split), artifacts.open_images(synthetic)
    step = Preprocess(size or image_side(synthetics), jpeg or None)
    pairs = [
        (
            extract(reals, n, step, folder / "features", what="real"),
            extract(synthetics, n, step, folder / "features", what="synthetic"),
        )
        for n in networks
    ]
    report = quality_report(pairs, max_n=max_n, seed=seed, resamples=resamples)
    artifacts.write_table(report.cells, folder / "quality.parquet")
    artifacts.write_table(report.cells, folder / "quality.csv")
    artifacts.write_table(report.utility, folder / "utility.csv")
    artifacts.write_table(per_image_table(pairs), folder / "images.parquet")
    summary = {
        "cells": report.cells,
        "utility": report.utility,
        "verdict": report.section.verdict,
        "size": step.size,
        "jpeg": step.quality,
        "extractors": {n.name: n.digest for n in networks},
    }
    artifacts.write_json(summary, folder / "quality.json")
    artifacts.write_section(report.section, folder)
    if as_json:
        print_json(artifacts.plain(summary))
        return
    overall = report.cells[report.cells["family"].isin(["overall", "floor"])]
    for row in overall.to_dict("records") + report.utility.to_dict("records"):
        number = Estimate(row["value"], row["low"], row["high"], row["n"]).text(4)
        say(f"{row.get('cell', ''):20} {row['metric']:38} {number}")
    say(f"every cell: {folder / 'quality.csv'}")

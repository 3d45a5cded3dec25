"""`evalsuite quality`: fidelity, diversity and usefulness of synthetic images against real ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.console import print_json, say, track
from dermforge.common.output_folder import claim
from evalsuite.images.features.names import DEFAULT_EXTRACTORS, SPECS
from evalsuite.images.image_data import image_side, open_images


def quality(
    real: Annotated[Path, typer.Argument(help="Real images: shards or a folder; best those the generator never saw.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic images: shards or a folder.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for tables and features.")] = Path("quality"),
    extractor: Annotated[list[str], typer.Option(help=f"May be given several times: {SPECS}.")] = [  # noqa: B006
        *DEFAULT_EXTRACTORS
    ],
    size: Annotated[
        int | None, typer.Option(min=16, max=2048, help="Pixels both sides are brought to; default: as synthetic.")
    ] = None,
    jpeg: Annotated[int, typer.Option(min=0, max=100, help="JPEG quality both sides go through; 0 for none.")] = 95,
    split: Annotated[str | None, typer.Option(help="Only this split of the real images.")] = None,
    max_n: Annotated[int, typer.Option(min=20, help="Most images of each side in a cell.")] = 5000,
    resamples: Annotated[int, typer.Option(min=10, help="Bootstrap resamples.")] = 100,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Seed of subsets and resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Fidelity, diversity, precision and recall, accuracy scores and a real-or-synthetic test, for every cell.

    By default two feature sets that need no weights are used, and no number is called FID. For FID give the Inception
    file: --extractor torchscript:inception-2015-12-05.pt#SHA256. For features closer to what a dermatologist sees give
    encoders, at least two: --extractor monet --extractor dinov2. Where they disagree no verdict is given.

    Example: evalsuite quality demo/phantoms/test demo/shards --out demo/quality
    """
    from evalsuite.images import artifacts
    from evalsuite.images.features.extract import Preprocess
    from evalsuite.images.features.extractors import open_extractors
    from evalsuite.images.quality.quality_report import measure_quality, quality_section
    from evalsuite.stats.estimate import Estimate

    claim(folder, "a measurement of quality", ["quality.*"], ["features"])
    networks = open_extractors(extractor, device)
    made = open_images(synthetic)
    step = Preprocess(size or image_side(made), jpeg or None)
    report = measure_quality(
        real=open_images(real, split=split),
        synthetic=made,
        extractors=networks,
        preprocess=step,
        max_n=max_n,
        resamples=resamples,
        seed=seed,
        folder=folder / "features",
        track=track,
    )
    tables = {"quality.parquet": report.cells, "quality.csv": report.cells, "utility.csv": report.utility}
    summary = {"cells": report.cells, "utility": report.utility, "size": step.size, "jpeg": step.quality}
    summary["extractors"] = {n.name: n.digest for n in networks}
    summary |= {"by_extractor": report.by_extractor, "agreement": report.agreement, "alignment": report.alignment}
    tables["alignment.csv"] = report.alignment
    tables["images.parquet"] = report.images
    found = artifacts.write_findings(quality_section(report), folder, "quality", summary, tables)
    if as_json:
        print_json(found)
        return
    overall = report.cells[report.cells["family"].isin(["overall", "floor"])]
    for row in overall.to_dict("records") + report.utility.to_dict("records"):
        number = Estimate(row["value"], row["low"], row["high"], row["n"]).text(4)
        why = f": {row['note']}" if row["note"] and math.isnan(row["value"]) else ""
        say(f"{row.get('cell', ''):20} {row['metric']:38} {number}{why}")
    say(report.sentence)
    say(f"every cell: {folder / 'quality.csv'}")

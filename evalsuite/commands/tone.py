"""`evalsuite tone`: did the requested skin tones come out?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.console import print_json, say, track
from dermforge.common.output_folder import claim
from evalsuite.images.tone.cut_points import CUTS, cut_points


def tone(
    data: Annotated[Path, typer.Argument(help="Images: shards or a folder (with a CSV for groups).")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the tables and JSON.")] = Path("tone"),
    reference: Annotated[Path | None, typer.Option(help="Real images to measure drift against.")] = None,
    cuts: Annotated[str, typer.Option(help=f"ITA cut-points: {', '.join(CUTS)}, or five angles.")] = "del-bino",
    as_json: Annotated[bool, typer.Option("--json", help="Print the cells as JSON.")] = False,
) -> None:
    """Measure the typology angle (ITA) on bare skin and compare it with the skin type that was requested.

    Example: evalsuite tone demo/shards --reference demo/phantoms/test --out demo/tone
    """
    from evalsuite.images import artifacts
    from evalsuite.images.tone.measure_ita import LIGHTING_CAVEAT, METHOD
    from evalsuite.images.tone.tone_report import measure_tone, tone_section
    from evalsuite.images.tone.tone_verdict import measured
    from evalsuite.stats.estimate import Estimate

    claim(folder, "a measurement of tone", ["tone.*"])
    report = measure_tone(images=data, reference=reference, cuts=cuts, track=track)
    cells, part = report.cells, tone_section(report)
    named = {"name": cuts, "degrees": cut_points(cuts)}
    summary = {"cells": cells, "method": METHOD, "cuts": named, "caveat": LIGHTING_CAVEAT}
    tables = {"tone.parquet": report.images, "cells.csv": cells}
    found = artifacts.write_findings(part, folder, "tone", summary, tables)
    if as_json:
        print_json(found)
        return
    for row in cells[cells["family"].isin(["overall", "group"])].to_dict("records"):
        angle = Estimate(row["ita_median"], row["ita_q05"], row["ita_q95"], row["n"]).text(1)
        say(
            f"{row['cell']:16} n {row['n']:6}  measured {row['measured'].value:4.0%}  ITA {angle}  within one group "
            f"{row['within_one'].text(2)}"
        )
    say(measured(cells.iloc[0]))
    say(f"order (Spearman): {cells.iloc[0]['spearman'].text(2)}")
    say(LIGHTING_CAVEAT)
    say(f"every image: {folder / 'tone.parquet'}")

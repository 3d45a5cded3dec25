"""`evalsuite reader-study`: show a blinded set to people and analyse what they say."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.command_line import typed
from dermforge.common.console import err, print_json, say, track
from dermforge.common.errors import UserError
from evalsuite.images.image_data import image_side, open_images, open_real


class Action(StrEnum):
    """What to do with a study's folder."""

    make = "make"
    serve = "serve"
    analyse = "analyse"


def reader_study(
    step: Annotated[Action, typer.Argument(help="make the set, serve the page, or analyse the answers.")],
    folder: Annotated[Path, typer.Argument(help="The study's folder.")],
    real: Annotated[Path | None, typer.Option(help="make: real images.")] = None,
    synthetic: Annotated[Path | None, typer.Option(help="make: synthetic images.")] = None,
    per_cell: Annotated[int, typer.Option(min=1, help="make: images of each side from each class and group.")] = 2,
    size: Annotated[
        int | None, typer.Option(min=32, max=2048, help="make: pixels; default: as the synthetic images.")
    ] = None,
    seed: Annotated[int, typer.Option(help="make: seed of choice and order.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="serve: port on localhost; 0 takes a free one.")] = 8017,
    gains: Annotated[Path | None, typer.Option(help="analyse: a run's folder, or a CSV of class,gain.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="analyse: print as JSON.")] = False,
) -> None:
    """A reader study: how real do images look, what do they show, which skin type; and do readers agree?

    The page is served on localhost only. Every answer is saved at once, so a reader can stop and resume.
    key.csv holds the truth: keep it from the readers.

    Example: evalsuite reader-study make study --real demo/phantoms/test --synthetic demo/shards
    """
    from evalsuite.reader_study.blinded_set import SetDesign, make, open_study
    from evalsuite.reader_study.server import StudyServer

    if step is Action.make:
        if real is None or synthetic is None:
            raise UserError("a study needs --real and --synthetic images")
        made = open_images(synthetic)
        design = SetDesign(size or image_side(made), per_cell, seed)
        study = make(open_real(real), made, folder, design, track)
        say(f"{len(study.items)} images: {folder}; next: {typed('evalsuite', 'reader-study', 'serve', folder)}")
    elif step is Action.serve:
        open_study(folder)
        with StudyServer(folder, port) as server:
            err.print(f"open {server.url} in a browser on this machine; Ctrl-C stops it; answers are kept")
            server.serve_forever()
    else:
        _analyse(folder, gains, as_json)


def _analyse(folder: Path, gains: Path | None, as_json: bool) -> None:
    from evalsuite.images import artifacts
    from evalsuite.reader_study import analysis
    from evalsuite.reader_study.gains import read_gains

    found = analysis.analyse(folder, read_gains(gains) if gains else None)
    tables = {"answers.csv": found.answers, "readers.csv": found.readers, "cells.csv": found.cells}
    summary = {"readers": found.readers, "agreement": found.agreement}
    written = artifacts.write_findings(analysis.study_section(found), folder, "analysis", summary, tables)
    if as_json:
        print_json(written)
        return
    for row in found.readers.to_dict("records"):
        auc = row["discrimination"].text(2)
        say(f"{row['reader']:16} answers {row['answers']:5}  real or synthetic (AUC) {auc}")
    for row in found.agreement.to_dict("records"):
        say(f"agreement on {row['what']}: {row['measure']} {row['value'].text(2)}, {row['items']} items")
    if found.gain is not None:
        say(f"realism and gain by class (Spearman): {found.gain.text(2)}, {found.gain.n} classes")

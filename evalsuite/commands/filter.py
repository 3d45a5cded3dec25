"""`evalsuite filter`: keep the synthetic images that pass what real ones pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.atomic import write_whole
from dermforge.common.console import print_json, progress, say
from dermforge.common.errors import UserError
from evalsuite.images import artifacts
from evalsuite.images.features.extractors import SPECS, Extractor, open_extractor
from evalsuite.images.features.features import Features, Preprocess, extract, image_side
from evalsuite.images.filter import filter_trial
from evalsuite.images.filter.rules import (
    Filtered,
    apply,
    filter_section,
    intactness,
    judge,
    recognition,
    thresholds_from,
    typicality,
)
from evalsuite.images.tone.measure_ita import CUTS
from evalsuite.images.tone.tone_report import measure_table
from evalsuite.training.recipe import make_recipe
from shards import ImageSet
from shards.tools.select import select


def filter_images(
    synthetic: Annotated[Path, typer.Argument(help="Synthetic images: shards or a folder.")],
    train: Annotated[Path, typer.Option(help="Real training images.")],
    validation: Annotated[Path, typer.Option(help="Real validation images: they set the thresholds.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for tables and lists.")] = Path("filter"),
    write: Annotated[Path | None, typer.Option(help="Write kept images and their scores as shards here.")] = None,
    rejection: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of real images it may drop.")] = 0.05,
    quarantine: Annotated[Path | None, typer.Option(help="quarantine.txt of `evalsuite privacy`: dropped too.")] = None,
    extractor: Annotated[str, typer.Option(help=f"Features: {SPECS}.")] = "random-conv-seed0",
    keep_balance: Annotated[bool, typer.Option(help="Keep the same share of every cell.")] = False,
    judge_on: Annotated[
        Path | None, typer.Option("--judge", help="Real images in train/, validation/, test/: train without and with.")
    ] = None,
    n_real: Annotated[int, typer.Option(min=0, help="--judge: real images per class; 0: all.")] = 0,
    ratio: Annotated[float, typer.Option(min=0.1, help="--judge: synthetic images for each, at most.")] = 5.0,
    seeds: Annotated[int, typer.Option(min=1, help="--judge: training runs of each side.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="--judge: optimiser steps.")] = 200,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the rates as JSON.")] = False,
) -> None:
    """Drop images that are broken, unlike their class, off tone or copies; thresholds come from real images.

    `gen plan --refill PLAN --kept OUT/filter.parquet` plans what was dropped anew. --judge trains a classifier without
    and with the filter. Scores go with the images: --write, or `shards select --scores OUT/scores.parquet`.

    Example: evalsuite filter demo/shards --train demo/phantoms/train --validation demo/phantoms/validation
    """
    made, real, held = (artifacts.open_images(p) for p in (synthetic, train, validation))
    known = _listed(quarantine, set(made.rows["id"]))
    network, step = open_extractor(extractor, device), Preprocess(image_side(made))
    features = {
        name: extract(data, network, step, folder / "features", what=name)
        for name, data in (("training", real), ("validation", held), ("synthetic", made))
    }
    scores = _scores(made, features["training"], features["synthetic"])
    known_scores = _scores(held, features["training"], features["validation"])
    thresholds, rate = thresholds_from(known_scores, rejection)
    passed = judge(held.rows, known_scores, thresholds)
    if known is not None:
        scores["novel"] = {id: float(id not in known) for id in made.rows["id"]}
        thresholds["novel"] = 0.5
    done = apply(made.rows, scores, thresholds, rate, real=passed, keep_balance=keep_balance)
    _write(done, folder, network)
    if write:
        _shards(done, made, list(thresholds), write)
    if judge_on:
        _judge(done, synthetic, judge_on, folder / "trial", n_real, ratio, seeds, steps, as_json)
    for warning in done.warnings:
        say(f"warning: {warning}") if not as_json else None
    if as_json:
        print_json(
            artifacts.plain(
                {
                    "rates": done.rates,
                    "thresholds": thresholds,
                    "real_rejection": rate,
                    "warnings": done.warnings,
                    "kept": len(done.kept),
                    "n": len(done.table),
                }
            )
        )
        return
    for row in done.rates[done.rates["family"].isin(["overall", "group"])].itertuples():
        say(f"{row.cell:16} dropped {row.rejected:5} of {row.n:6}  {row.rate:.3f} ({row.low:.3f} to {row.high:.3f})")
    say(f"real images dropped by the same thresholds: {rate:.3f}; kept: {folder / 'kept.txt'}")


def _scores(data: ImageSet, train: Features, judged: Features) -> dict[str, dict[str, float]]:
    """The score of every criterion by id; larger is better."""
    tone = measure_table(data, CUTS["del-bino"])
    off = tone["degrees_off"].abs()
    return {
        "recognised": recognition(train, judged),
        "typical": typicality(train, judged),
        "intact": intactness(data),
        "on_tone": dict(zip(tone["id"], -off, strict=True)),
    }


def _listed(file: Path | None, present: set[str]) -> set[str] | None:
    if file is None:
        return None
    if not file.is_file():
        raise UserError(f"{file}: no such list; `evalsuite privacy` writes quarantine.txt")
    listed = set(file.read_text(encoding="utf-8").split())
    if listed and not listed & present:
        raise UserError(f"{file}: none of its {len(listed)} ids is among the synthetic images; it is of another set")
    return listed


def _write(done: Filtered, folder: Path, network: Extractor) -> None:
    artifacts.write_table(done.table, folder / "filter.parquet")
    artifacts.write_table(done.rates, folder / "rates.csv")
    rejected = sorted(set(done.table["id"]) - set(done.kept))
    artifacts.write_table(done.table[["id", *done.thresholds]], folder / "scores.parquet")
    write_whole(folder / "kept.txt", "".join(f"{id}\n" for id in done.kept).encode())
    write_whole(folder / "rejected.txt", "".join(f"{id}\n" for id in rejected).encode())
    part = filter_section(done)
    artifacts.write_json(
        {
            "rates": done.rates,
            "thresholds": done.thresholds,
            "real_rejection": done.real_rejection,
            "warnings": done.warnings,
            "extractor": network.name,
            "verdict": part.verdict,
        },
        folder / "filter.json",
    )
    artifacts.write_section(part, folder)


def _judge(
    done: Filtered,
    synthetic: Path,
    real: Path,
    folder: Path,
    n_real: int,
    ratio: float,
    seeds: int,
    steps: int,
    as_json: bool,
) -> None:
    """Train without and with the filter; its tables go beside the filter's in `trial`."""
    recipe = make_recipe(ratio=ratio, steps=steps, batch=32, lr=4e-3, evaluate_every=max(1, steps // 5))
    trial = filter_trial.conduct(real, synthetic, done.kept, folder, n_real=n_real, recipe=recipe, seeds=seeds)
    part = filter_trial.trial_section(trial)
    artifacts.write_table(trial.table, folder / "trial.csv")
    artifacts.write_json(
        {"table": trial.table, "n_real": n_real, "ratio": trial.ratio, "seeds": seeds, "verdict": part.verdict},
        folder / "trial.json",
    )
    artifacts.write_section(part, folder)
    if not as_json:
        say(part.verdict)


def _shards(done: Filtered, made: ImageSet, names: list[str], folder: Path) -> None:
    """The kept images with their scores in JSON and sidecar, so that one can select before any image is read."""
    if not done.kept:
        raise UserError(f"every image was dropped, so {folder} would be empty; loosen --rejection")
    scored = done.table.set_index("id")[names].to_dict("index")
    found = {str(id): {str(n): round(v, 6) for n, v in scores.items() if v == v} for id, scores in scored.items()}
    with progress("kept images", len(done.kept)) as tick:
        select(made.where(ids=done.kept), folder, "filtered", scores=found, tick=tick)

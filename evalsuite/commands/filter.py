"""`evalsuite filter`: keep the synthetic images that pass what real ones pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dermforge.common.atomic import write_whole
from dermforge.common.console import print_json, progress, say, track
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from dermforge.common.unused_options import used_only
from evalsuite.commands import options
from evalsuite.images.features.names import SPECS
from evalsuite.images.image_data import image_side, open_images, open_real
from evalsuite.training.recipe import DEFAULT_MODEL, DEFAULT_SIZE
from shards import open_data
from shards.storage.claim import claim_set
from shards.tools.select import select

#: What the shards of kept images are called.
FILTERED = "filtered"

if TYPE_CHECKING:
    from evalsuite.images.filter.filter_trial import TrialDesign
    from evalsuite.images.filter.rules import Filtered


@used_only(
    "with --judge",
    lambda given: given["judge_on"],
    *("n_real", "ratio", "seeds", "model", "weights", "size", "steps", "lr"),
)
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
    model: options.Model = DEFAULT_MODEL,
    weights: options.Weights = "auto",
    size: options.Size = DEFAULT_SIZE,
    steps: options.Steps = None,
    lr: options.Rate = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")] = "cpu",
    allow_leakage: Annotated[bool, typer.Option(help="Continue although the generator saw validation images.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rates as JSON.")] = False,
) -> None:
    """Drop images that are broken, unlike their class, off tone or copies; thresholds come from real images.

    Validation images that the generator saw are refused: it would be measured by its own examples.
    `gen plan --refill PLAN --kept OUT/filter.parquet` plans replacements for the dropped images. --judge trains a
    classifier without and with the filter. --write, or `shards select --scores OUT/scores.parquet`, stores the scores
    with the images. --model to --lr are of the classifier that --judge trains.

    Example: evalsuite filter demo/shards --train demo/phantoms/train --validation demo/phantoms/validation
    """
    from evalsuite.images import artifacts
    from evalsuite.images.features.extract import Preprocess, extract
    from evalsuite.images.features.extractors import open_extractor
    from evalsuite.images.filter.rules import apply, filter_section, judge, thresholds_from
    from evalsuite.images.filter.scores import score_images
    from evalsuite.training.data import held_out

    claim(folder, "the result of a filter", ["filter.*"], ["features"])
    if write:
        claim_set(write, FILTERED)
    trial = (
        None
        if judge_on is None
        else _trial(n_real, seeds, model=model, weights=weights, size=size, ratio=ratio, steps=steps, lr=lr)
    )
    made, real, held = open_images(synthetic), open_real(train), open_real(validation)
    leakage = held_out.check_unseen(synthetic, validation, train, allow_leakage)
    known = _listed(quarantine, set(made.rows["id"]))
    network, step = open_extractor(extractor, device), Preprocess(image_side(made))
    trained, judged, passed = (extract(d, network, step, folder / "features", track=track) for d in (real, made, held))
    scores, real_scores = score_images(made, judged, trained, track), score_images(held, passed, trained, track)
    thresholds, rate = thresholds_from(real_scores, rejection)
    kept_real = judge(held.rows, real_scores, thresholds)
    if known is not None:
        scores["novel"] = {id: float(id not in known) for id in made.rows["id"]}
        thresholds["novel"] = 0.5
    done = apply(made.rows, scores, thresholds, rate, real=kept_real, keep_balance=keep_balance)
    found = {"rates": done.rates, "thresholds": thresholds, "real_rejection": rate, "warnings": done.warnings}
    found["leakage"] = leakage
    scored = done.images[["id", *thresholds]]
    tables = {"filter.parquet": done.images, "rates.csv": done.rates, "scores.parquet": scored}
    artifacts.write_findings(
        filter_section(done, leakage), folder, "filter", found | {"extractor": network.name}, tables
    )
    rejected = sorted(set(done.images["id"]) - set(done.kept))
    for name, ids in (("kept.txt", done.kept), ("rejected.txt", rejected)):
        write_whole(folder / name, "".join(f"{id}\n" for id in ids).encode())
    if write:
        _write_shards(done, synthetic, write)
    if trial and judge_on:
        verdict = _judge(done, synthetic, judge_on, folder / "trial", trial, allow_leakage)
    if as_json:
        print_json(artifacts.plain(found | {"kept": len(done.kept), "n": len(done.images)}))
        return
    if judge_on:
        say(verdict)
    for text in leakage:
        say("leakage: " + text, style="red")
    for warning in done.warnings:
        say(f"warning: {warning}")
    for row in done.rates[done.rates["family"].isin(["overall", "group"])].itertuples():
        say(f"{row.cell:16} dropped {row.rejected:5} of {row.n:6}  {row.rate:.3f} ({row.low:.3f} to {row.high:.3f})")
    say(f"real images dropped by the same thresholds: {rate:.3f}; kept: {folder / 'kept.txt'}")


def _listed(file: Path | None, present: set[str]) -> set[str] | None:
    """The ids of a quarantine list, at least one of which must be present."""
    if file is None:
        return None
    if not file.is_file():
        raise UserError(f"{file}: no such list; `evalsuite privacy` writes quarantine.txt")
    listed = set(file.read_text(encoding="utf-8").split())
    if listed and not listed & present:
        raise UserError(f"{file}: none of its {len(listed)} ids is among the synthetic images; it is of another set")
    return listed


def _trial(n_real: int, seeds: int, **recipe: object) -> TrialDesign:
    """How both sides will be trained; weights that cannot be had are named before anything is measured."""
    from evalsuite.images.filter.filter_trial import TrialDesign
    from evalsuite.training.pretrained import settled_recipe

    made, note = settled_recipe(**recipe)
    return TrialDesign(made, n_real, seeds, note)


def _judge(done: Filtered, synthetic: Path, real: Path, folder: Path, design: TrialDesign, leakage: bool) -> str:
    """Train without and with the filter; write the result and return its verdict."""
    from evalsuite.images import artifacts
    from evalsuite.images.filter.filter_trial import conduct, trial_section
    from evalsuite.study.run_arms import Options

    trial = conduct(real, synthetic, done.kept, folder, design, Options(allow_leakage=leakage, progress=progress))
    found = {
        "classifier": design.recipe.summary(),
        "note": design.note,
        "table": trial.table,
        "n_real": design.n_real,
        "ratio": trial.ratio,
        "seeds": design.seeds,
    }
    part = trial_section(trial)
    artifacts.write_findings(part, folder, "trial", found, {"trial.csv": trial.table})
    return part.verdict


def _write_shards(done: Filtered, synthetic: Path, folder: Path) -> None:
    """The kept images with their scores in JSON and sidecar, so that one can select before any image is read."""
    if not done.kept:
        raise UserError(f"every image was dropped, so {folder} would be empty; raise --rejection")
    table = done.images[done.images["kept"]].set_index("id")[list(done.thresholds)].to_dict("index")
    scores = {str(id): {str(name): round(v, 6) for name, v in row.items() if v == v} for id, row in table.items()}
    view = open_data(synthetic).where(ids=done.kept)
    with progress("kept images", view.n) as tick:
        select(view, folder, FILTERED, scores=scores, tick=tick)

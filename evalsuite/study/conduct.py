"""Check a design against the images there are, train its arms, raise it to the next dose."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from dermforge.common.sealed_file import sealed_json
from dermforge.common.training_state import changes_between
from evalsuite.study import run_arms
from evalsuite.study.arm_images import check_lineage
from evalsuite.study.body_features import FEATURES
from evalsuite.study.design import PLAN, Design, read_design
from evalsuite.study.kinds import Kind
from evalsuite.study.outcomes import check_class
from evalsuite.study.own_validation import split
from evalsuite.study.synthetic_set import fewest
from evalsuite.training.data import datasets, held_out
from evalsuite.training.recipe import Recipe
from shards.format.schema import created_by
from shards.mixing.tensors import TensorSet
from shards.storage.turn import turn


def new_run(
    places: datasets.Places,
    recipe: Recipe,
    *,
    n_real: int,
    ratio: float,
    seeds: int,
    allow_leakage: bool = False,
    notes: Sequence[str] = (),
) -> Design:
    """The design of a run; the ratio is lowered to what the shards hold.

    Parameters
    ----------
    n_real
        Real images per class; 0: all.
    notes
        What its report must say of it.

    Raises
    ------
    UserError
        Too few images, or a generator that saw what it must not.
    """
    if not ratio > 0:
        raise UserError(f"a ratio of {ratio:g} was asked for; expected synthetic images for each real one, above 0")
    opened = datasets.open_data(places)
    per_class = n_real or opened.train.n / len(opened.classes)  # as an arm counts where classes are not equal
    held, scarce = opened.scarcest(n_real, [recipe.seed + seed for seed in range(seeds)])
    if not held:
        raise UserError(
            f"{scarce} has no synthetic images in {', '.join(map(str, places.synthetic))}; generate some "
            f"of each of {', '.join(opened.classes)}"
        )
    possible = held / per_class
    lowered = (
        f"A ratio of {ratio:g}:1 was asked for; the synthetic shards hold {possible:.3g} images for each "
        "real one, and all of them were used."
    )
    made = Design(
        kind="run",
        places=places,
        recipe=recipe,
        doses={n_real: (0.0, min(ratio, math.floor(possible * 1000) / 1000))},
        seeds=seeds,
        controls=False,
        notes=(*notes, lowered) if possible < ratio else tuple(notes),
        leakage=tuple(held_out.check_held_out(opened, allow_leakage)),
        created_by=created_by(),
    )
    check(made, opened, allow_leakage)
    return made


def check(design: Design, opened: datasets.Data, allow_leakage: bool = False) -> None:
    """Refuse a grid that the images cannot fill, before anything is trained.

    Raises
    ------
    UserError
        Too few real or synthetic images of a class; says how many there are and what they allow. Or a generator saw
        more of the data set than an arm has.
    """
    check_class(design.metric, opened.classes)
    _check_groups(design.groups, opened.test)
    for size, ratios in design.doses.items():
        for seed in range(design.seeds):
            arm = design.arm("mix", size, max(ratios), None, seed)
            real = opened.real(size, arm.seed)
            split(arm, real)
            _check_generators(design, opened, real)
            for one in synthetic_kinds(design):
                check_lineage(opened, arm.model_copy(update={"kind": one}), real, allow_leakage)
        for kind, strategy in itertools.product(synthetic_kinds(design), design.strategies):
            held, scarce = scarcest(design, opened, size, kind, strategy)
            if ratios[-1] * size > held:
                named = f" of the strategy {strategy}" if strategy else ""
                named += "" if kind == "mix" else f" for the arm {kind}"
                raise UserError(
                    f"{size} real images at {ratios[-1]:g}:1 need {round(ratios[-1] * size)} synthetic "
                    f"images per class{named}; the shards hold {held} of {scarce}, which allows "
                    f"{held / size:.3g}:1"
                )


def synthetic_kinds(design: Design) -> tuple[Kind, ...]:
    """The kinds of arms whose synthetic images must suffice: those that do not draw from the mixed arm's."""
    return ("mix", *(kind for kind in design.optional if kind in ("untuned", "dark-only")))


def scarcest(design: Design, opened: datasets.Data, size: int, kind: Kind, strategy: str | None) -> tuple[int, str]:
    """The fewest synthetic images of one class that arms of a kind may draw from over all seeds, and the class."""
    made = [arm for seed in range(design.seeds) for arm in design.trained(kind, size, 1.0, strategy, seed)]
    return min(fewest(arm, opened, opened.real(size, arm.seed)) for arm in made)


def largest_dose(design: Design, opened: datasets.Data, size: int) -> float:
    """The largest ratio that the synthetic images of every strategy and kind of arm allow."""
    places = itertools.product(synthetic_kinds(design), design.strategies)
    return min(scarcest(design, opened, size, kind, strategy)[0] for kind, strategy in places) / size


def _check_generators(design: Design, opened: datasets.Data, real: TensorSet) -> None:
    """Refuse another number of generators than was named, where each is an arm of its own."""
    count = len(opened.fitting(real))
    if design.generators > 1 and count != design.generators:
        raise UserError(
            f"{design.generators} generators were named, but {count} were tuned on the {real.n} real images of an arm; "
            "give each as a set of its own, and as many for every number of real images and seed"
        )


def _check_groups(column: str, test: TensorSet) -> None:
    """Refuse a group column that no test image has."""
    there = {"group", *(name for held in test.rows.get("attributes", ()) for name in held or {})}
    if column not in there:
        raise UserError(f"the test images have no column {column!r} of groups; they have {', '.join(sorted(there))}")


def claim_folder(out: Path) -> None:
    """Refuse a folder with files that is no run or study."""
    claim(out, "a run or study", [PLAN], [FEATURES])


def execute(design: Design, out: Path, options: run_arms.Options = run_arms.Options()) -> None:
    """Train all arms that have no result yet; those of a run keep their checkpoints.

    A study may grow: synthetic images may come in addition, for other numbers of real images or seeds.

    Raises
    ------
    UserError
        The folder holds a run or study of other images or another recipe, or other files, or another process is at it.
    """
    claim_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    with turn(out, patience=0):
        if (out / PLAN).is_file():
            before = read_design(out)
            grown = set(before.places.synthetic) <= set(design.places.synthetic)
            places = before.places.model_copy(update={"synthetic": design.places.synthetic}) if grown else before.places
            if (before.kind, before.recipe, places) != (design.kind, design.recipe, design.places):
                then, now = ({**d.recipe.model_dump(), **d.places.model_dump(mode="json")} for d in (before, design))
                raise UserError(
                    f"{out} holds a {before.kind} of other images or another recipe: {changes_between(then, now)}; "
                    "use another folder"
                )
        write_whole(out / PLAN, sealed_json(design.model_dump_json(indent=1)))
        options = replace(options, keep=design.kind == "run")
        run_arms.run(design.arms(), design.places, out, options, "train" if design.kind == "run" else "study")


def next_doses(design: Design, flat: Sequence[int], limit: dict[int, float]) -> Design | None:
    """The same study with the ratio doubled for the sizes that may still gain; None when there is nothing to raise.

    Every size reaches the dose at which verdicts are judged, if its images allow it.

    Parameters
    ----------
    flat
        Sizes whose last doubling excludes a relevant gain.
    limit
        Largest ratio of each size.
    """
    doses = dict(design.doses)
    for size, ratios in design.doses.items():
        following = ratios[-1] * 2 if ratios[-1] else 1.0
        judged = following <= design.controls_at  # the dose of the verdicts must not depend on what was found
        if (judged or size not in flat) and following <= limit[size]:
            doses[size] = (*ratios, following)
    return None if doses == design.doses else design.model_copy(update={"doses": doses})

"""The luck of the generator and of the classifier are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_helpers import BASE, SEEDS, SIZES, curve, generator, new_grid, plant
from training_helpers import recipe

from dermforge.common.errors import UserError
from evalsuite.report import study_contrasts
from evalsuite.study import analysis, conduct, study_findings
from evalsuite.study.arm_images import training_set
from evalsuite.study.design import Design, Grid, new_study
from evalsuite.study.luck import luck
from evalsuite.study.paired_scores import Score, mean_of
from evalsuite.training.data.datasets import Data, Places, open_data, sets_in
from shards import ShardSet


def test_planted_components_are_found() -> None:
    rng = np.random.default_rng(0)
    scores = 0.8 + rng.normal(0, 0.03, (4000, 1)) + rng.normal(0, 0.02, (4000, 3))
    found = luck(scores)
    assert found.classifiers == pytest.approx(0.03, rel=0.05)
    assert found.generators == pytest.approx(0.02, rel=0.05)
    assert luck(np.full((3, 2), 0.5)).generators == 0
    assert np.isnan(luck(scores[:1]).classifiers)
    assert np.isnan(luck(scores[:, :1]).generators)


def test_intervals_of_means_over_generators_hold_both_kinds_of_luck() -> None:
    """Three seeds with two generators each: the interval covers the true score in about 95 % of studies."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(400):
        by = 0.8 + rng.normal(0, 0.02, (4, 1)) + rng.normal(0, 0.04, (4, 2))
        weights = rng.multinomial(4, np.full(4, 0.25), 300) / 4
        items = rng.normal(0, 0.002, 300)
        found = mean_of([Score(float(one.mean()), weights @ one + items, one, 40_000) for one in by.T])
        low, high = found.interval()
        covered += low < 0.8 < high
    assert covered >= 0.91 * 400


def study_of(real: Path, made: Path, count: int) -> tuple[Design, Data]:
    sets = sets_in([made / str(number) for number in range(count)])
    places = Places(real=real, synthetic=sets, size=32, generators_apart=True)
    return new_study(places, recipe(steps=2), Grid(SIZES, (1,), len(SEEDS), generators=2)), open_data(places)


def test_each_generator_of_the_same_images_has_an_arm_of_its_own(
    phantom_shards: Path, generators: Path, tmp_path: Path
) -> None:
    """Sets with equal ids and equal lineage are two generators, where they are named so."""
    for number, path in ((n, p) for n in range(2) for p in sorted((generators / "few").iterdir())):
        real = ShardSet.open(path)
        generator(tmp_path / str(number) / path.name, path.name, real.classes, (*real.rows["id"], BASE))
    design, data = study_of(phantom_shards, tmp_path, 2)
    conduct.check(design, data)
    mixed = [arm for arm in design.arms() if arm.kind == "mix"]
    assert len(mixed) == len(SIZES) * len(SEEDS) * 2 == len({arm.name for arm in mixed})
    assert {arm.generator for arm in design.arms() if arm.kind == "real"} == {None}
    assert data.synthetic is not None
    one, other = (training_set(arm, data)[1].synthetic for arm in mixed[:2])
    assert one is not None
    assert other is not None
    assert one.rows["id"].tolist() == other.rows["id"].tolist()
    of = [int(data.made_by[part._at[0]]) for part in (one, other)]
    assert len(set(of)) == 2
    assert data.seen[of[0]] == data.seen[of[1]]
    with pytest.raises(UserError, match="2 generators were named, but 1 were tuned"):
        conduct.check(*study_of(phantom_shards, tmp_path, 1))


def test_the_luck_of_generators_is_on_the_page_and_in_the_record(tmp_path: Path) -> None:
    made = new_grid(sizes=(4, 8), ratios=(2, 10), seeds=3, generators=2)
    plant(tmp_path / "s", made, lambda kind, n, ratio, group: curve(n))
    for path in (tmp_path / "s").rglob("predictions.parquet"):
        if path.parent.name.endswith("_g1"):  # one generator is wrong on 30 of 600 images
            frame = pd.read_parquet(path)
            frame.loc[:29, ["prob_a", "prob_b", "prob_c"]] = np.roll(np.eye(3)[np.arange(30) % 3], 1, axis=1)
            frame.to_parquet(path)
    found = analysis.analyse(tmp_path / "s", n_boot=100)
    assert {cell[0] for cell in found.lucks} == {"mix", "synthetic-only"}
    assert found.lucks["mix", None, 4, 10.0].generators > 0
    study_findings.write_record(found, tmp_path)
    assert json.loads((tmp_path / "study.json").read_text())["luck"][0]["generators"] > 0
    assert "Luck of the generator and of the classifier" in [s.title for s in study_contrasts.sections(found)]

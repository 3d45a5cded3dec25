"""What the images allow; which generator each arm is given; studies are trained, resumed and raised."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_helpers import BASE, SEEDS, SIZES, generator, new_grid
from training_helpers import recipe

from bench.suites.study import feature_study
from dermforge.common.errors import UserError
from evalsuite.study import analysis, conduct
from evalsuite.study.arm_images import check_lineage, training_set
from evalsuite.study.conduct import next_doses
from evalsuite.study.design import Design, Grid, new_study
from evalsuite.study.run_arms import Options
from evalsuite.training.data.datasets import Data, Places, open_data, sets_in
from shards import ShardSet


def opened(real: Path, *folders: Path) -> Data:
    return open_data(Places(real=real, synthetic=sets_in(folders), size=32))


def small_study(data: Data, real: Path, sizes: tuple[int, ...] = SIZES) -> Design:
    return new_study(Places(real=real, size=32), recipe(steps=2), Grid(sizes, (1,), len(SEEDS)))


def test_every_arm_has_the_generator_that_was_tuned_on_its_images(phantom_shards: Path, generators: Path) -> None:
    """The published study tuned one on all images, which its arms with few of them were then told about."""
    data = opened(phantom_shards, generators / "made")
    made = small_study(data, phantom_shards)
    conduct.check(made, data)
    for size in SIZES:
        for seed in SEEDS:
            arm = made.arm("mix", size, 1.0, None, seed)
            real, images = training_set(arm, data)
            assert sorted(real.rows["id"]) == sorted(ShardSet.open(generators / "few" / f"n{size}-s{seed}").rows["id"])
            assert set(data.for_arm(real).lineage) == {*real.rows["id"], BASE}
            assert images.synthetic is not None
            assert images.synthetic.n == size * len(data.classes)
            leaks, notes = check_lineage(data, arm, real, allow=False)
            assert not leaks
            assert "100 phantoms that the real-only arm does not have" in notes[0]


def test_a_generator_of_fewer_images_serves_larger_arms_of_its_seed(phantom_shards: Path, generators: Path) -> None:
    """Subsets are nested, so the cheapest clean study tunes one generator a seed; a smaller arm is refused early."""
    data = opened(phantom_shards, *(generators / "made" / f"n2-s{seed}" for seed in SEEDS))
    conduct.check(small_study(data, phantom_shards), data)
    data = opened(phantom_shards, *(generators / "made" / f"n4-s{seed}" for seed in SEEDS))
    conduct.check(small_study(data, phantom_shards, (4,)), data)
    with pytest.raises(UserError, match=r"30 training images outside this arm's 12 are .*shards select --few"):
        conduct.check(small_study(data, phantom_shards), data)
    conduct.check(small_study(data, phantom_shards), data, allow_leakage=True)
    places = Places(real=phantom_shards, synthetic=(generators / "made" / "n4-s0",), size=32)
    with pytest.raises(UserError, match="12 training images outside"):
        conduct.new_run(places, recipe(steps=2), n_real=2, ratio=1, seeds=1)


def test_sets_of_a_model_that_saw_none_of_the_data_stay(phantom_shards: Path, generators: Path, tmp_path: Path) -> None:
    """A pretrained model's images go to every arm, beside the tuned one's."""
    generator(tmp_path / "pretrained", "p", ShardSet.open(phantom_shards / "train").classes, (BASE,), 3)
    data = opened(phantom_shards, tmp_path / "pretrained", generators / "made")
    for seed in SEEDS:
        assert data.scarcest(2, [seed])[0] == 9
    assert opened(phantom_shards, tmp_path / "pretrained").scarcest(2, SEEDS)[0] == 3


def test_too_few_images_and_missing_parts_are_named(phantom_shards: Path, noisy_copies: Path, tmp_path: Path) -> None:
    """Bad input: one line that says what is there."""
    small = recipe()
    with pytest.raises(UserError, match=r"`n_real` is 50, but \w+ has 12 training images"):
        conduct.new_run(Places(real=phantom_shards, synthetic=(noisy_copies,)), small, n_real=50, ratio=1, seeds=1)
    with pytest.raises(UserError, match="not synthetic"):
        conduct.new_run(
            Places(real=phantom_shards, synthetic=(phantom_shards / "train",), size=32),
            small,
            n_real=2,
            ratio=1,
            seeds=1,
        )
    with pytest.raises(UserError, match="is not a folder"):
        conduct.new_run(Places(real=tmp_path / "nowhere", synthetic=(noisy_copies,)), small, n_real=2, ratio=1, seeds=1)


def test_overlapping_splits_are_refused_with_the_ids(phantom_shards: Path, tmp_path: Path) -> None:
    """A test image that is also a training image."""
    for part, source in (("train", "train"), ("validation", "validation"), ("test", "train")):
        (tmp_path / part).symlink_to(phantom_shards / source, target_is_directory=True)
    with pytest.raises(UserError, match=r"72 ids are in train and in test .*phantom-"):
        conduct.new_run(Places(real=tmp_path, synthetic=()), recipe(), n_real=2, ratio=1, seeds=1)


def test_a_feature_study_runs_and_resumes(tmp_path: Path) -> None:
    """The cached path from a table of features to verdicts; a second call trains nothing."""
    made = feature_study(tmp_path, arms=12, width=256)
    made = made.model_copy(update={"recipe": made.recipe.model_copy(update={"steps": 60})})
    opened = open_data(made.places)
    conduct.check(made, opened)
    conduct.execute(made, tmp_path / "out", Options(workers=1))
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("result.json")}
    assert len(times) == 12
    assert not [p for p in times if "randaugment" in str(p)]  # features cannot be augmented: no control by name only
    conduct.execute(made, tmp_path / "out", Options(workers=1))
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("result.json")} == times
    found = analysis.analyse(tmp_path / "out", n_boot=100)
    best = max(line.score for line in found.lines if line.group == "all")
    assert best > 0.3  # one in ten by chance
    with pytest.raises(UserError, match="another recipe"):
        conduct.execute(made.model_copy(update={"recipe": recipe(lr=0.5)}), tmp_path / "out", Options(workers=1))
    with pytest.raises(UserError, match="which allows 18:1"):
        conduct.check(made.model_copy(update={"doses": {10: (0, 50)}}), opened)


def test_doses_are_doubled_until_the_gain_stops() -> None:
    """An adaptive study spends nothing on sizes that have stopped gaining, nor beyond what the shards hold."""
    first = new_grid(adaptive=True, sizes=(4, 8, 16))
    assert first.doses == {4: (0, 1), 8: (0, 1), 16: (0, 1)}
    limit = {4: 100.0, 8: 100.0, 16: 1.5}
    second = next_doses(first, [], limit)
    assert second is not None
    assert second.doses == {4: (0, 1, 2), 8: (0, 1, 2), 16: (0, 1)}
    judged = second.model_copy(update={"doses": {4: (0, 1, 2, 4, 8), 8: (0, 1, 2, 4, 8), 16: (0, 1)}})
    third = next_doses(judged, [8], limit)
    assert third is not None
    assert third.doses == {4: (0, 1, 2, 4, 8, 16), 8: (0, 1, 2, 4, 8), 16: (0, 1)}
    assert next_doses(third, [4, 8], limit) is None


def test_the_dose_of_the_verdicts_does_not_depend_on_what_was_found() -> None:
    """Whatever is flat at once, every size reaches 8:1, and there the verdicts are."""
    limit = {4: 100.0, 8: 100.0}
    for flat in ([], [4], [4, 8]):
        made = new_grid(adaptive=True, sizes=(4, 8))
        while (following := next_doses(made, flat, limit)) is not None:
            made = following
        assert made.reference == 8


def test_a_study_grows_and_trains_no_arm_twice(phantom_shards: Path, generators: Path, tmp_path: Path) -> None:
    """Generators of more numbers of real images come in addition; what an arm does not use changes nothing of it."""

    def grow(sizes: tuple[int, ...]) -> dict[str, tuple[int, bytes]]:
        sets = tuple(generators / "made" / f"n{size}-s{seed}" for size in sizes for seed in SEEDS)
        places = Places(real=phantom_shards, synthetic=sets, size=32)
        design = new_study(places, recipe(steps=2), Grid(sizes, (1,), len(SEEDS), arms=()))
        conduct.execute(design, tmp_path / "study", Options(workers=1))
        written = [tmp_path / "study" / "arms" / arm.name / "result.json" for arm in design.arms()]
        return {path.parent.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in written}

    small, large = SIZES
    first = grow((small,))
    both = grow(SIZES)
    assert len(both) == 2 * len(first) > 0
    assert {name: both[name] for name in first} == first
    with pytest.raises(UserError, match="holds a study of other images or another recipe"):
        grow((large,))

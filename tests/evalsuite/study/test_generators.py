"""A generator for each size and seed of a study: every arm is given the one that saw its own real images, no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.study import design, single_run
from evalsuite.study.arm import check_lineage, training_set
from evalsuite.training.data.datasets import Data, Places, open_data, sets_in
from evalsuite.training.recipe import make_recipe
from shards import Provenance, Sample, ShardSet, ShardSetWriter, encode_image
from shards.cli import PROGRAM as SHARDS

SIZES, SEEDS = (2, 4), (0, 1)
BASE = "phantom-[0009000000-0009000099]-macule-tan"  # what a pretrained model saw


def generator(folder: Path, name: str, classes: list[str], lineage: tuple[str, ...], per_class: int = 6) -> None:
    """Shards of noise as a generator with this lineage would have made them; all generators use the same ids."""
    rng = np.random.default_rng(len(lineage))
    with ShardSetWriter(folder, name, classes=classes, provenance=Provenance(lineage=lineage), fsync=False) as writer:
        for label in classes:
            for number in range(per_class):
                image = encode_image(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), "png")
                writer.add(
                    Sample(
                        id=f"syn-{label}-{number}",
                        origin="synthetic",
                        label=label,
                        group="tan",
                        strategy="text-to-image",
                    ),
                    image,
                    "png",
                )


@pytest.fixture(scope="module")
def sets(phantom_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`shards select --few` for each size and seed, and the shards of a generator tuned on that."""
    root = tmp_path_factory.mktemp("generators")
    for size in SIZES:
        for seed in SEEDS:
            few = root / "few" / f"n{size}-s{seed}"
            done = CliRunner().invoke(
                SHARDS.app(),
                ["select", str(phantom_shards / "train"), "--out", str(few), "--few", str(size), "--seed", str(seed)],
            )
            assert done.exit_code == 0, done.output
            real = ShardSet.open(few)
            generator(root / "made" / few.name, few.name, real.classes, (*real.rows["id"], BASE))
    return root


def opened(real: Path, *folders: Path) -> Data:
    return open_data(Places(real=real, synthetic=sets_in(folders), size=32))


def new_grid(data: Data, real: Path, sizes: tuple[int, ...] = SIZES) -> design.Design:
    return design.new_design(Places(real=real, size=32), make_recipe(steps=2), sizes, (1,), seeds=len(SEEDS))


def test_every_arm_has_the_generator_that_was_tuned_on_its_images(phantom_shards: Path, sets: Path) -> None:
    """The published study tuned one on all images, which its arms with few of them were then told about."""
    data = opened(phantom_shards, sets / "made")
    made = new_grid(data, phantom_shards)
    design.check(made, data)
    for size in SIZES:
        for seed in SEEDS:
            arm = made.arm("mix", size, 1.0, None, seed)
            real, images = training_set(arm, data)
            assert sorted(real.rows["id"]) == sorted(ShardSet.open(sets / "few" / f"n{size}-s{seed}").rows["id"])
            assert set(data.for_arm(real).lineage) == {*real.rows["id"], BASE}
            assert images.synthetic is not None
            assert images.synthetic.n == size * len(data.classes)
            leaks, notes = check_lineage(data, arm, real, allow=False)
            assert not leaks
            assert "100 phantoms that the real-only arm does not have" in notes[0]


def test_a_generator_of_fewer_images_serves_larger_arms_of_its_seed(phantom_shards: Path, sets: Path) -> None:
    """Subsets are nested, so the cheapest clean study tunes one generator a seed; a smaller arm is refused early."""
    data = opened(phantom_shards, *(sets / "made" / f"n2-s{seed}" for seed in SEEDS))
    design.check(new_grid(data, phantom_shards), data)
    data = opened(phantom_shards, *(sets / "made" / f"n4-s{seed}" for seed in SEEDS))
    design.check(new_grid(data, phantom_shards, (4,)), data)
    with pytest.raises(UserError, match=r"30 training images outside this arm's 12 are .*shards select --few"):
        design.check(new_grid(data, phantom_shards), data)
    design.check(new_grid(data, phantom_shards), data, allow_leakage=True)
    places = Places(real=phantom_shards, synthetic=(sets / "made" / "n4-s0",), size=32)
    with pytest.raises(UserError, match="12 training images outside"):
        single_run.plan(places, make_recipe(steps=2), n_real=2, ratio=1, seeds=1)


def test_sets_of_a_model_that_saw_none_of_the_data_stay(phantom_shards: Path, sets: Path, tmp_path: Path) -> None:
    """A pretrained model's images go to every arm, beside the tuned one's."""
    generator(tmp_path / "pretrained", "p", ShardSet.open(phantom_shards / "train").classes, (BASE,), 3)
    data = opened(phantom_shards, tmp_path / "pretrained", sets / "made")
    for seed in SEEDS:
        assert data.scarcest(2, [seed])[0] == 9
    assert opened(phantom_shards, tmp_path / "pretrained").scarcest(2, SEEDS)[0] == 3


def test_the_command_takes_a_folder_of_sets(phantom_shards: Path, sets: Path, tmp_path: Path) -> None:
    """From the generators' shards to the page; sets with the same ids are one too many where they share a lineage."""
    words = [
        "study",
        "--real",
        str(phantom_shards),
        "--out",
        str(tmp_path / "out"),
        "--n-real",
        "2,4",
        "--ratios",
        "1",
        "--seeds",
        "2",
        "--steps",
        "2",
        "--batch",
        "8",
        "--size",
        "32",
        "--model",
        "test_resnet",
        "--n-boot",
        "100",
        "--workers",
        "1",
    ]
    done = CliRunner().invoke(PROGRAM.app(), [*words, "--synthetic", str(sets / "made")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "phantoms that the real-only arm does not have" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(UserError, match="the same synthetic ids are in two"):
        opened(phantom_shards, sets / "made", sets / "made" / "n2-s0")


def test_generators_with_equal_ids_keep_their_features_apart(phantom_shards: Path, sets: Path, tmp_path: Path) -> None:
    """Features from the body of a checkpoint: each generator's own, although all of them use the same ids."""
    train = [
        "train",
        "--real",
        str(phantom_shards),
        "--out",
        str(tmp_path / "clf"),
        "--model",
        "test_resnet",
        "--size",
        "32",
        "--steps",
        "2",
        "--batch",
        "8",
    ]
    assert CliRunner().invoke(PROGRAM.app(), train).exit_code == 0
    words = [
        "study",
        "--real",
        str(phantom_shards),
        "--synthetic",
        str(sets / "made"),
        "--out",
        str(tmp_path / "out"),
        "--body",
        str(tmp_path / "clf"),
        "--n-real",
        "2,4",
        "--ratios",
        "1",
        "--seeds",
        "2",
        "--steps",
        "2",
        "--size",
        "32",
        "--n-boot",
        "100",
        "--workers",
        "1",
    ]
    done = CliRunner().invoke(PROGRAM.app(), words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(tmp_path / "out" / design.FEATURES)
    assert table["id"].duplicated().any()
    places = design.read_design(tmp_path / "out").places
    data = open_data(places)
    assert data.synthetic is not None
    values = torch.cat(list(data.synthetic.batches(100))).numpy()
    features = table[table["generator"] >= 0].filter(regex=r"^f\d+$").to_numpy()
    assert (values == features).all()
    same = (data.synthetic.rows["id"] == data.synthetic.rows["id"].iloc[0]).to_numpy()
    assert same.sum() == len(SIZES) * len(SEEDS)
    assert len(np.unique(values[same], axis=0)) == len(SIZES)  # the generators above draw other noise for each size
    mine = places.model_copy(update={"features": tmp_path / "mine.parquet"})
    for frame, said in (
        (table.drop(columns="generator"), "appears twice"),
        (table.assign(generator="mine"), "text or fractions in the column generator"),
    ):
        frame.to_parquet(tmp_path / "mine.parquet")
        with pytest.raises(UserError, match=said):
            open_data(mine)
    (tmp_path / "mine.parquet").write_bytes(b"PAR1 broken PAR1")
    with pytest.raises(UserError, match="cannot read the table"):
        open_data(mine)

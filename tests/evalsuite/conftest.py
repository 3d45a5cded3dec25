"""Generators of a study, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_helpers import BASE, SEEDS, SIZES, generator, write_noisy_copies
from typer.testing import CliRunner

from shards import ShardSet
from shards.cli import PROGRAM as SHARDS


@pytest.fixture(scope="session")
def generators(phantom_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
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


@pytest.fixture(scope="session")
def noisy_copies(phantom_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    others = "phantom-[0000000000-0000000009]-macule-tan"
    return write_noisy_copies(tmp_path_factory.mktemp("synthetic"), phantom_shards, (others,))

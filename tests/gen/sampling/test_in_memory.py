"""Images in memory are the pixels that the sampler writes to shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engines import Engine
from gen.plan.parents import Parents
from gen.plan.plan import Plan, from_rows
from gen.sampling.in_memory import sample_images
from gen.sampling.run_record import describe
from gen.sampling.sampler import Sampler
from shards.format.reader import ShardSet
from shards.ingest.folder import open_data

STRATEGIES = ("text-to-image", "image-to-image", "inpaint", "inpaint-outpaint")


def plan_from(parents: Parents) -> Plan:
    """Every strategy at several lengths, one of them in two phases; more rows than a batch has."""
    ids = list(parents.usable()["id"])
    rows = [
        {
            "id": f"r{i:02d}",
            "class": "plaque",
            "prompt": "An image of plaque",
            "strategy": STRATEGIES[i % 4],
            "parent": ids[i % len(ids)] if i % 4 else None,
            "steps": 2 + i % 5,
            "guidance": 1.0 + i % 3,
            "size": 64,
        }
        for i in range(18)
    ]
    return from_rows({k: v for k, v in row.items() if v is not None} for row in rows)


@pytest.mark.parametrize("unet", ["text", "inpaint"])
def test_every_strategy_gives_the_samplers_pixels(
    images: Path, open_engine: Callable[..., Engine], tmp_path: Path, unet: str
) -> None:
    engine, parents = open_engine(unet), Parents(open_data(images), images)
    plan = plan_from(parents)
    Sampler(engine, plan, tmp_path, describe(engine, plan, "s"), parents).run([0])
    written = {sample.id: pixels for sample, pixels in ShardSet.open(tmp_path).images()}
    rows = plan.rows()[::-1]
    drawn = sample_images(engine, rows, parents)
    assert drawn.shape == (18, 64, 64, 3)
    np.testing.assert_array_equal(drawn, np.stack([written[row.id] for row in rows]))


def test_no_rows_give_no_images(open_engine: Callable[..., Engine]) -> None:
    assert sample_images(open_engine(), []).shape == (0, 64, 64, 3)

"""The built-in inpainting pipeline by the commands: build an engine, make a plan from parents, sample it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gen.builtin import pipeline_folder
from gen.cli import PROGRAM
from gen.plan import masks
from gen.plan.parents import Parents
from gen.plan.plan import load
from shards.format.reader import ShardSet
from shards.ingest.folder import open_data


def call(line: str) -> Result:
    result = CliRunner().invoke(PROGRAM.app(), shlex.split(line), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("backend", ["torch", pytest.param("onnxruntime", marks=pytest.mark.slow)])
def test_parents_are_redrawn_where_asked_and_kept_elsewhere(backend: str, phantom_shards: Path, tmp_path: Path) -> None:
    """Nine channels, from `gen build-engine` to shards: both strategies of the paper, each image with its parent."""
    bundle, plan, shards, train = tmp_path / "bundle", tmp_path / "plan.csv", tmp_path / "out", phantom_shards / "train"
    ways = "inpaint,inpaint-outpaint"
    pipeline = pipeline_folder(inpaint=True)
    call(f"build-engine --model {pipeline} --backend {backend} --rows 8 --out {bundle} --prompt 'An image'")
    facts = json.loads((bundle / "bundle.json").read_text())["facts"]
    assert facts["unet_in_channels"] == 2 * facts["latent_channels"] + 1
    call(f"plan --engine {bundle} --parents {train} --classes plaque --strategy {ways} --steps 3 --out {plan}")
    call(f"sample --engine {bundle} --plan {plan} --parents {train} --shards {shards}")
    rows, parents = {row.id: row for row in load(plan).rows()}, Parents(open_data(train), train)
    made = ShardSet.open(shards)
    assert made.n == len(rows) > 2
    for sample, pixels in made.images():
        row = rows[sample.id]
        assert (sample.strategy, sample.parent, sample.label) == (row.strategy, row.parent, "plaque")
        before, size = parents.image(row.parent or "", row.size), row.size
        redrawn = masks.centre(size) if row.strategy == "inpaint" else ~masks.frame(size)
        np.testing.assert_array_equal(pixels[~redrawn], before[~redrawn])
        assert (pixels != before).any(axis=2)[redrawn].mean() > 0.5

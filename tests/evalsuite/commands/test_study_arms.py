"""`evalsuite study` with every arm, an untuned generator, an external test set and validation within the budget."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from study_helpers import BASE, generator
from training_helpers import SMALL
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.study import analysis
from evalsuite.study.kinds import WHAT
from evalsuite.training.data.datasets import Places, open_data
from evalsuite.training.data.held_out import check_held_out
from gen.phantoms.dataset import PhantomSplit
from shards import ShardSet


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("external")
    PhantomSplit("test", 1, seed=77).write(folder)
    return folder / "test"


def test_every_arm_is_trained_and_compared(
    phantom_shards: Path, noisy_copies: Path, external: Path, tmp_path: Path
) -> None:
    generator(tmp_path / "untuned", "u", ShardSet.open(phantom_shards / "train").classes, (BASE,), 9)
    words = ["study", "--real", phantom_shards, "--synthetic", noisy_copies, "--out", tmp_path / "out"]
    words += ["--n-real", "4", "--ratios", "1", "--seeds", "2", "--steps", "2", "--batch", "8", "--n-boot", "100"]
    words += ["--workers", "1", "--arms", ",".join(WHAT), "--untuned", tmp_path / "untuned", "--external", external]
    words += ["--val-fraction", "0.25", "--metric", "auroc", *SMALL]
    done = CliRunner().invoke(PROGRAM.app(), [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    trained = {json.loads(p.read_text())["arm"]["kind"] for p in (tmp_path / "out").rglob("result.json")}
    assert trained == {"real", "mix", *WHAT}
    for folder in (tmp_path / "out" / "arms").iterdir():
        outside = pd.read_parquet(folder / "external.parquet")
        assert set(outside["id"]) == set(ShardSet.open(external).rows["id"])
        assert len(pd.read_parquet(folder / "validation.parquet")) < 36  # its own, not those of validation/
    record = json.loads((tmp_path / "out" / "study.json").read_text())
    compared = {c["second"] for c in record["contrasts"]}
    assert compared == {what for kind, what in WHAT.items() if kind != "real-short"}
    assert len(record["external"]["gains"]) == len(record["gains"])
    html = (tmp_path / "out" / "report.html").read_text()
    assert "External test images" in html
    assert "25 % of each arm&#39;s own real images" in html
    assert analysis.analyse(tmp_path / "out", n_boot=100).external is not None


def test_arms_that_cannot_be_are_refused(phantom_shards: Path, noisy_copies: Path, tmp_path: Path) -> None:
    words = ["study", "--real", phantom_shards, "--synthetic", noisy_copies, "--out", tmp_path / "out", "--arms"]
    for named, said in (("magic", "no such arm as magic"), ("untuned", "needs --untuned SHARDS")):
        with pytest.raises(UserError, match=said):
            CliRunner().invoke(PROGRAM.app(), [str(w) for w in [*words, named]], catch_exceptions=False)


def test_what_is_not_untuned_or_not_external_is_refused(
    phantom_shards: Path, noisy_copies: Path, external: Path, tmp_path: Path
) -> None:
    train = ShardSet.open(phantom_shards / "train")
    places = Places(real=phantom_shards, synthetic=(noisy_copies,), size=32)
    generator(tmp_path / "tuned", "t", train.classes, (train.rows["id"].iloc[0],))
    with pytest.raises(UserError, match="tuned on 1 of the real images"):
        open_data(places.model_copy(update={"untuned": (tmp_path / "tuned",)}))
    with pytest.raises(UserError, match="shares neither images nor patients"):
        open_data(places.model_copy(update={"external": phantom_shards / "test"}))
    with pytest.raises(UserError, match="external images are synthetic"):
        open_data(places.model_copy(update={"external": noisy_copies}))
    data = open_data(places.model_copy(update={"external": external}))
    assert not check_held_out(data, allow=False)
    assert data.external is not None
    seen = tmp_path / "seen"
    generator(seen, "s", train.classes, (data.external.rows["id"].iloc[0],))
    none = Places(real=phantom_shards, external=external, size=32)
    for field in ("synthetic", "untuned"):
        leaky = open_data(none.model_copy(update={field: (seen,)}))
        with pytest.raises(UserError, match="1 external images are in the lineage"):
            check_held_out(leaky, allow=False)

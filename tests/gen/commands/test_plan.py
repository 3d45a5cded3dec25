"""`gen plan` as a user gives it: what it writes, what it shows, and what it refuses before a file is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from dermforge.common import console
from dermforge.common.errors import UserError
from engines.bundle import read_bundle, write_record
from engines.compile.batch_tuning import Timings
from engines.manifest import TIMINGS
from gen.commands.plan import plan
from gen.plan import plan as plans

CELLS = [(c, g) for c in ("plaque", "ulcer") for g in ("very_light", "dark")]


def call(*words: object) -> str:
    app = console.new_app("gen")
    app.command()(plan)
    result = CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def predictions(path: Path) -> Path:
    """A classifier that is wrong on half of the dark plaques and right on all else."""
    rows = [
        {"id": f"{c}-{g}-{i}", "label": c, "group": g, "prob_plaque": float(said), "prob_ulcer": 1.0 - said}
        for c, g in CELLS
        for i in range(20)
        for said in [(c == "plaque") != (c == "plaque" and g == "dark" and i < 10)]
    ]
    pd.DataFrame(rows).to_parquet(path, index=False)
    return path


def test_the_papers_plan_is_laid_out_and_costed(bundles: dict[str, Path], phantom_shards: Path, tmp_path: Path) -> None:
    """`--preset sagers2023 --show`: 10 of each parent by each strategy; 50 guided steps: 100 denoiser rows an image."""
    out = tmp_path / "plan.csv"
    options = ("--parents", phantom_shards / "train", "--engine", bundles["text"], "--classes", "plaque,ulcer")
    shown = json.loads(call("--preset", "sagers2023", *options, "--out", out, "--json"))
    made = plans.load(out)
    parents = {row.parent for row in made.rows() if row.parent}
    assert len(made) == shown["rows"] == 3 * 10 * len(parents)
    assert shown["digest"] == made.digest
    # 2 x 50, 2 x 48 at strength 0.97, and 2 x (48 + 47) of the chain
    assert shown["forwards_per_image"] == pytest.approx((100 + 96 + 190) / 3)
    fast = json.loads(call("--preset", "fast", *options, "--show", "--json"))
    assert fast["forwards_per_image"] < 0.4 * shown["forwards_per_image"]
    text = call("--preset", "sagers2023", *options, "--show")
    assert "denoiser rows per image" in text
    assert "plaque" in text
    assert text.index("very_light") < text.index("light", text.index("very_light") + 10) < text.index("dark")


def test_weights_of_cells_come_from_a_table_real_data_or_errors(
    bundles: dict[str, Path], phantom_shards: Path, tmp_path: Path
) -> None:
    out, engine = tmp_path / "plan.parquet", ("--engine", bundles["text"])
    counts = tmp_path / "cells.csv"
    counts.write_text("class,group,n\nplaque,dark,5\nulcer,very_light,1\n")
    call("--cells", counts, *engine, "--out", out)
    assert plans.load(out).cells().to_numpy().tolist() == [[5, 0], [0, 1]]
    call("--balance", phantom_shards / "train", "--per-cell", 7, *engine, "--out", out)
    assert plans.load(out).cells().to_numpy().tolist() == [[5, 5], [5, 5]]  # 2 of each are there
    call("--from-predictions", predictions(tmp_path / "p.parquet"), "--total", 100, "--floor", 9, *engine, "--out", out)
    by = {(r, c): n for r, row in plans.load(out).cells().iterrows() for c, n in row.items()}
    assert sum(by.values()) == 100
    assert min(by.values()) >= 9
    assert by["plaque", "dark"] > 50


def test_the_time_of_a_plan_comes_from_the_speed_that_its_bundle_measured(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    """The row count that the bundle runs at, a UNet row for each forward, and the decoder once an image."""
    measured = Timings(rows=8, vae_batch=4, unet_seconds_per_row={4: 9, 8: 0.5}, decode_seconds_per_image={1: 9, 4: 2})
    bundle = tmp_path / "bundle"
    shutil.copytree(bundles["text"], bundle)
    write_record(read_bundle(bundle), TIMINGS, measured)
    options = ("--engine", bundle, "--per-cell", 3, "--steps", 5, "--solver", "ddim")
    assert json.loads(call(*options, "--show", "--json"))["expected_seconds"] == 12 * (10 * 0.5 + 2)
    assert "10.0 denoiser rows per image; time: 84 s on this bundle's machine" in call(*options, "--show")
    (bundle / TIMINGS).unlink()
    assert json.loads(call(*options, "--show", "--json"))["expected_seconds"] is None
    assert "time: unknown (no bundle with timings)" in call(*options, "--show")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to do"),
        (("--solver", "rk4"), "unknown solver 'rk4'"),
        (("--solver", "ddim:karras"), "euler:karras"),
        (("--steps", "2000"), "row 1: steps"),
        (("--preset", "paper"), "unknown preset 'paper'"),
        (("--strategy", "melt"), "unknown strategy 'melt'"),
        (("--strategy", "inpaint"), "give parents"),
        (("--guidance-interval", "5:1"), "row 1: `guidance_interval` must rise from 0 or more, as 0.28:5.42$"),
        (("--guidance", "-1"), "row 1: guidance"),
        (("--per-cell", "0"), "0 images per cell"),
        (("--size", "0"), "size.* 8, got 0"),
        (("--base-steps", "1", "--solver", "ddim"), "the bundle has none"),
        (("--base-steps", "1"), "the bundle has none"),
        (("--size", "72"), "asks for 72 px and the engine makes 64 px"),
        (("--base-steps", "21", "--solver", "ddim"), "21 steps to a base, and the bundle has none"),
        (("--engine", "nowhere"), "no engine bundle at nowhere"),
        (("--engine", "bundle"), "no engine bundle at bundle"),  # named, though it is also where one is looked for
        (("--prompt", "{disease}"), "{disease}"),
        (("--cells", "a.csv", "--balance", "b"), "exclude each other"),
        (("--refill", "plan.csv"), "--refill needs --kept"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(
    bundles: dict[str, Path], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "plan.csv"
    base = {"--engine": str(bundles["text"]), "--out": str(out)} if words else {}
    given = base | dict(zip(words[::2], words[1::2], strict=True))
    with pytest.raises(UserError, match=said):
        call(*(word for pair in given.items() for word in pair))
    assert not out.exists()


def test_a_plan_without_steps_of_a_base_is_as_before_there_was_one(bundles: dict[str, Path], tmp_path: Path) -> None:
    """Also where they are said to be none; a plan with some says so in a column of its own, for any bundle's."""
    words = ("--classes", "plaque", "--groups", "dark", "--per-cell", 2, "--size", 64, "--solver", "ddim")
    for name, more in (("usual", ("--engine", bundles["text"])), ("none", ("--base-steps", 0))):
        call(*words, *more, "--prompt", "a {class}, {group}", "--out", tmp_path / name)
    assert (tmp_path / "usual").read_bytes() == (tmp_path / "none").read_bytes()
    assert b"base_steps" not in (tmp_path / "none").read_bytes()
    call(*words, "--base-steps", 2, "--prompt", "a {class}, {group}", "--out", tmp_path / "two.csv")
    assert [row.base_steps for row in plans.load(tmp_path / "two.csv").rows()] == [2, 2]


def test_an_option_for_what_a_table_says_itself_is_refused(tmp_path: Path) -> None:
    """A number in every row wins; where a row has none, the option fills it."""
    rows = pd.DataFrame({"class": ["plaque", "ulcer"], "prompt": ["a", "b"], "steps": ["5", None], "size": "64"})
    for steps, said in ((["5", "6"], "has its own steps, which wins: leave out --steps"), (["5", None], None)):
        rows.assign(steps=pd.Series(steps)).to_csv(tmp_path / "rows.csv", index=False)
        words = ("--table", tmp_path / "rows.csv", "--steps", 9, "--out", tmp_path / "plan.csv")
        if said:
            with pytest.raises(UserError, match=said):
                call(*words)
        else:
            call(*words)
    assert [row.steps for row in plans.load(tmp_path / "plan.csv").rows()] == [5, 9]


@pytest.mark.parametrize(("option", "value"), [("seed", 0), ("guidance", 0)])
def test_zero_is_an_option_too(option: str, value: int, tmp_path: Path) -> None:
    """It was asked for, and the table says otherwise."""
    pd.DataFrame({"class": ["plaque"], "prompt": ["a"], "size": "64", option: ["7"]}).to_csv(tmp_path / "rows.csv")
    with pytest.raises(UserError, match=f"leave out --{option}"):
        call("--table", tmp_path / "rows.csv", f"--{option}", value, "--out", tmp_path / "plan.csv")

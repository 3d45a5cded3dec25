"""Engines beside their peers: the same images come out of both, and every number that is promised is there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import engines
from bench.cli import PROGRAM
from bench.commands.all import Chosen
from bench.measure import models, plots
from bench.measure.record import Measurement, load
from bench.peers import draw
from bench.peers.pipelines import choose, diffusers, optimum, precision_of
from bench.suites import engine as measure
from bench.suites.engine import Loaded
from bench.suites.paper import Runs, growth, rates
from dermforge.common.errors import UserError
from engines.engine import Engine
from engines.pipeline_spec import model_digest

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bundle(random_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained pipeline as a torch bundle: nothing to export."""
    out = tmp_path_factory.mktemp("bench") / "bundle"
    engines.build(random_pipeline, out, backend="torch", rows=4, prompts=["An image of a plaque"])
    return out


@pytest.fixture(scope="module")
def engine(bundle: Path) -> Engine:
    return engines.load(bundle, device="cpu")


def test_diffusers_draws_the_same_images(engine: Engine, random_pipeline: Path) -> None:
    """The peer runs the same job: same noise, solver, steps and guidance. Else its speed would mean nothing."""
    job = draw.job(engine.spec, 3, steps=4, guidance=3.0)
    theirs = diffusers(random_pipeline, job, 2, device=CPU, precision="fp32")()
    assert theirs.shape == (3, engine.spec.size, engine.spec.size, 3)
    assert draw.agreement(draw.draw(engine, job.rows), theirs) > 45


@pytest.mark.slow
def test_optimum_draws_the_same_images(engine: Engine, random_pipeline: Path) -> None:
    """The other peer too."""
    pytest.importorskip("optimum.onnxruntime")
    job = draw.job(engine.spec, 2, steps=4, guidance=3.0)
    theirs = optimum(random_pipeline, job, 2, device=CPU, precision="fp32")()
    assert draw.agreement(draw.draw(engine, job.rows), theirs) > 45


def test_agreement_sees_another_number_of_steps(engine: Engine) -> None:
    """What the table's dB are for."""
    few, more = (draw.job(engine.spec, 2, steps=s, guidance=3.0) for s in (2, 6))
    assert draw.agreement(draw.draw(engine, few.rows), draw.draw(engine, more.rows)) < 45


def test_images_do_not_depend_on_how_many_are_drawn(engine: Engine) -> None:
    """An image of a short job is that of a long one, so sizes of benchmarks can be compared."""
    one, four = (draw.draw(engine, draw.job(engine.spec, n, steps=2, guidance=3.0).rows) for n in (1, 4))
    assert np.abs(one[0].astype(int) - four[0].astype(int)).max() <= 1


def test_a_peer_is_labelled_by_the_precision_that_it_runs_in() -> None:
    """None has fp8, and optimum's exporter knows fp16 on a GPU only."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [precision_of("diffusers", asked, gpu) for asked in ("fp32", "fp16", "bf16", "fp8")] == [
        "fp32",
        "fp16",
        "bf16",
        "fp16",
    ]
    assert [precision_of("optimum", asked, gpu) for asked in ("fp16", "bf16", "fp8")] == ["fp16", "fp32", "fp16"]
    assert precision_of("optimum", "fp16", cpu) == "fp32"


def test_peers_of_other_weights_are_refused(engine: Engine, bundle: Path) -> None:
    """A comparison of two models is none of two engines."""
    with pytest.raises(UserError, match="was built from other weights"):
        measure.check_same_model(bundle, [Loaded("x", engine)])


def test_the_command_measures_everything_that_it_promises(bundle: Path, random_pipeline: Path, tmp_path: Path) -> None:
    """Components, rows, whole images, peers, shares of the ceiling and the speed-up, in the table and in the file."""
    options = [
        "--model",
        str(random_pipeline),
        "--device",
        "cpu",
        "--images",
        "2",
        "--steps",
        "2",
        "--rows",
        "2",
        "--peer",
        "diffusers",
        "--peer-batch",
        "2",
        "--repeats",
        "1",
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(PROGRAM.app(), ["engine", str(bundle), *options], catch_exceptions=False)
    assert result.exit_code == 0
    record = load(tmp_path / "engine.json")
    names = {m.name for m in record.measurements}
    assert {f"component/bundle/{part}" for part in ("text_encoder", "unet", "vae_decoder", "vae_encoder")} <= names
    assert {
        "matmul/fp32",
        "copy",
        "rows/bundle/0002",
        "whole/ours/bundle",
        "whole/diffusers/batch 2",
        "speedup/over diffusers",
    } <= names
    for m in (*record.starting("component/"), *record.starting("whole/")):
        assert 0 < float(m.details["share"] or 0) < 2, m
    ours, theirs = record.get("whole/ours/bundle"), record.get("whole/diffusers/batch 2")
    assert ours is not None
    assert theirs is not None
    assert record.get("speedup/over diffusers").median == pytest.approx(ours.median / theirs.median)  # type: ignore[union-attr]
    written = plots.draw([record], tmp_path)
    assert {p.name for p in written} == {"rows.svg", "ceiling.svg", "whole.svg"}
    assert all(p.read_text(encoding="utf-8").lstrip().startswith("<?xml") for p in written)


def test_speedups_stand_beside_their_bars() -> None:
    """On a CPU each peer's best batch counts; on a GPU plain diffusers at the paper's, and the share of the ceiling."""

    def rate(name: str, value: float, **details: object) -> Measurement:
        return Measurement.model_validate(
            {
                "name": f"whole/{name}",
                "unit": "images/s",
                "samples": [value],
                "details": {"precision": "fp32"} | details,
            }
        )

    runs = [
        rate("ours/x", 12, share=0.7),
        rate("ours/plans", 24, precision="bf16"),
        rate("diffusers/batch 32", 6, batch=32),
        rate("diffusers/batch 16", 3, batch=16),
        rate("optimum/batch 16", 8, batch=16),
    ]
    found = measure.speedups(runs, "cpu")
    assert {m.name: (m.median, m.details["bar"]) for m in found} == {
        "speedup/over diffusers": (2.0, 2.0),
        "speedup/over optimum": (1.5, 1.5),
        "speedup/plans over diffusers": (4.0, 2.0),
        "speedup/plans over optimum": (3.0, 1.5),
    }
    assert (found[1].details["precision"], found[1].details["its precision"]) == ("bf16", "fp32")
    gpu = {m.name: m.median for m in measure.speedups(runs, "cuda") if "plans" not in m.name}
    assert gpu == {"speedup/over diffusers": 4.0, "speedup/over optimum": 1.5, "share/ours": 0.7}


@pytest.mark.parametrize(
    ("device", "plans", "possible"),
    [("cpu", [], [8, 16, 24, 32]), ("cpu", ["unet.so"], [16, 32]), ("cuda", ["unet.plan"], [16])],
)
def test_a_sweep_leaves_out_what_plans_are_not_for(device: str, plans: list[str], possible: list[int]) -> None:
    bundle = SimpleNamespace(find=lambda kind, backend: plans, manifest=SimpleNamespace(rows=16))
    engine: Any = SimpleNamespace(bundle=bundle, backend="any", device=torch.device(device))
    assert measure.possible_rows(engine, [8, 16, 24, 32]) == possible


def test_a_peer_that_cannot_run_is_said_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not after an hour of measuring; peers nobody asked for by name are left out instead."""
    monkeypatch.setattr("bench.peers.pipelines.find_spec", lambda name: None)
    result = CliRunner().invoke(PROGRAM.app(), ["engine", "--peer", "optimum", "--work", str(tmp_path)])
    assert isinstance(result.exception, UserError)
    assert "the peer optimum cannot run here: it is not installed" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_on_a_gpu_the_suite_measures_both_half_precisions(tmp_path: Path, random_pipeline: Path) -> None:
    """One record holds fp16 and bf16 of every backend, at the paper's 50 steps; the rest uses the first of them."""
    chosen = Chosen(str(random_pipeline), ["torch", "tensorrt"], ["fp16", "bf16"], tmp_path, 50)
    options = chosen.options(5, quick=False)
    words = " ".join(options["engine"])
    assert "--backend torch --backend tensorrt --precision fp16 --precision bf16 --steps 50" in words
    assert (
        options["sample"]
        == options["paper"]
        == [
            "--model",
            str(random_pipeline),
            "--work",
            str(tmp_path),
            "--backend",
            "torch",
            "--precision",
            "fp16",
            "--repeats",
            "5",
        ]
    )
    assert all(words[-2:] == ["--repeats", "5"] for words in options.values())


def test_the_papers_run_mixes_its_strategies_and_grows_in_line(engine: Engine, tmp_path: Path) -> None:
    """Text-to-image, inpaint and inpaint-outpaint in equal parts, through the sampler into files that are removed."""
    run = Runs(engine, tmp_path)
    plan = run.plan("fast", 6)
    assert plan.frame["strategy"].value_counts().to_dict() == {"text-to-image": 2, "inpaint": 2, "inpaint-outpaint": 2}
    assert set(plan.frame["size"]) == {str(engine.spec.size)}
    found = rates(run, ["fast"], 3, repeats=1)
    assert found[0].name == "paper/fast"
    # Twenty steps with the interval take fewer than 40 rows, two phases nearly twice as many.
    assert 20 < float(found[0].details["UNet rows/image"] or 0) < 80
    assert [p.name for p in tmp_path.iterdir()] == [f"parents-{engine.spec.size}"]


@pytest.mark.slow
def test_growth_reports_each_factor(engine: Engine, tmp_path: Path) -> None:
    """1, 10 and 100 times the work."""
    found = growth(Runs(engine, tmp_path), "fast", 1)
    assert [m.details["images"] for m in found] == [1, 10, 100]


@pytest.mark.parametrize(
    "options",
    [
        ["engine", "--model", "nowhere"],
        ["paper", "--model", "nowhere"],
        ["engine", "--peer", "comfy"],
        ["all", "--only", "nothing"],
        ["plans", "--model", "nowhere"],
        ["plans", "--precision", "fp8"],
        ["sample", "--peer", "comfy"],
        ["roofline", "--precision", "fp7"],
        ["roofline", "--device", "cpu", "--precision", "fp8"],
        ["train", "--model", "resnet5"],
        ["train", "--size", "3"],
        ["cost", "nowhere"],
        ["anchors", "nowhere"],
        ["cost", "--price", "cheap"],
    ],
)
def test_bad_input_is_said_before_anything_is_measured(options: list[str], tmp_path: Path) -> None:
    """A user's mistake is a UserError with the remedy, not a traceback after an hour."""
    result = CliRunner().invoke(PROGRAM.app(), options)
    assert isinstance(result.exception, UserError), result.output


def test_a_bundle_is_kept_for_the_next_benchmark(bundle: Path, random_pipeline: Path, tmp_path: Path) -> None:
    """It is built once; one of other weights under the same name is built again, not measured in their place."""
    folder, took = models.bundle(random_pipeline, "torch", "fp32", tmp_path)
    assert took is not None
    assert models.bundle(random_pipeline, "torch", "fp32", tmp_path) == (folder, None)
    manifest = folder / "bundle.json"
    digest = model_digest(random_pipeline)
    manifest.write_text(manifest.read_text().replace(digest, digest[::-1]))
    assert models.bundle(random_pipeline, "torch", "fp32", tmp_path)[1] is not None
    assert digest in manifest.read_text()


def test_peers_that_nobody_named_are_those_that_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name they must run; none means none."""
    monkeypatch.setattr("bench.peers.pipelines.find_spec", lambda name: None)
    names = ("diffusers", "optimum", "synderm")
    assert choose(None, names, names, on_gpu=False) == ["diffusers"]
    assert choose(["none"], names, names, on_gpu=False) == []
    assert choose(["none", "diffusers"], names, names, on_gpu=False) == ["diffusers"]
    with pytest.raises(UserError, match="the peer synderm cannot run here: it is not installed"):
        choose(["synderm"], names, names, on_gpu=False)

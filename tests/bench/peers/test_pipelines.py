"""Peers: the same images come out of them, and one that cannot run is refused before anything is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from bench.cli import PROGRAM
from bench.peers import pipelines
from bench.peers.pipelines import PEERS, PeerModel, choose, compile_pipeline, diffusers, optimum, precision_of
from bench.peers.workload import workload
from dermforge.common.errors import UserError
from engines.engine import Engine
from engines.manifest import CompileMode
from engines.pipeline_spec import read_spec
from engines.psnr import psnr
from gen.sampling.in_memory import sample_images

CPU = torch.device("cpu")


def test_diffusers_draws_the_same_images(engine: Engine, random_pipeline: Path) -> None:
    """The peer does the same work: same noise, solver, steps and guidance. Else its speed would mean nothing."""
    given = workload(engine.spec, 3, steps=4, guidance=3.0)
    theirs = diffusers(PeerModel(random_pipeline, CPU, "fp32"), given, 2)()
    assert theirs.shape == (3, engine.spec.size, engine.spec.size, 3)
    assert psnr(sample_images(engine, given.rows), theirs) > 45


@pytest.mark.slow
def test_optimum_draws_the_same_images(engine: Engine, random_pipeline: Path) -> None:
    """The other peer too."""
    pytest.importorskip("optimum.onnxruntime")
    given = workload(engine.spec, 2, steps=4, guidance=3.0)
    theirs = optimum(PeerModel(random_pipeline, CPU, "fp32"), given, 2)()
    assert psnr(sample_images(engine, given.rows), theirs) > 45


def test_a_compiled_peer_knows_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two peers of batches 2 and 4 in one process: torch would compile the second for any batch, which is slower."""
    shapes: list[list[object]] = []
    real = torch.compile

    def traced(call: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        def backend(graph: torch.fx.GraphModule, inputs: list[object]) -> Callable[..., Any]:
            shapes.append([i.shape[0] if isinstance(i, torch.Tensor) else i for i in inputs])
            return graph.forward

        return real(call, backend=backend, fullgraph=options["fullgraph"], dynamic=options.get("dynamic"))

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return latents + 1

    monkeypatch.setattr(torch, "compile", traced)
    torch.compiler.reset()
    for batch in (2, 4):
        pipeline = SimpleNamespace(unet=torch.nn.Tanh(), vae=SimpleNamespace(decode=decode))
        compile_pipeline(pipeline, CPU, "max-autotune")
        for part in (pipeline.unet, pipeline.vae.decode):
            part(torch.ones(batch, 3))
    assert shapes == [[2], [2], [4], [4]]
    assert all(type(size) is int for inputs in shapes for size in inputs)


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


def test_a_peer_that_cannot_run_is_said_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not after an hour of measuring; peers nobody asked for by name are left out instead."""
    monkeypatch.setattr("bench.peers.pipelines.find_spec", lambda name: None)
    result = CliRunner().invoke(PROGRAM.app(), ["engine", "--peer", "optimum", "--work", str(tmp_path)])
    assert isinstance(result.exception, UserError)
    assert "the peer optimum cannot run here: it is not installed" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_peers_that_nobody_named_are_those_that_can_run(monkeypatch: pytest.MonkeyPatch, random_pipeline: Path) -> None:
    """Asked for by name they must run; none means none."""
    monkeypatch.setattr("bench.peers.pipelines.find_spec", lambda name: None)
    names, spec = ("diffusers", "optimum", "synderm"), read_spec(random_pipeline)
    assert choose(None, names, names, False, spec) == ["diffusers"]
    assert choose(["none"], names, names, False, spec) == []
    assert choose(["none", "diffusers"], names, names, False, spec) == ["diffusers"]
    with pytest.raises(UserError, match="the peer synderm cannot run here: it is not installed"):
        choose(["synderm"], names, names, False, spec)


@pytest.mark.parametrize("other", [{"family": "sdxl"}, {"unet_in_channels": 9}])
def test_another_kind_of_pipeline_has_no_peers(random_pipeline: Path, other: dict[str, Any]) -> None:
    """A larger family, or a UNet that sees a mask: the peers would fail after all engines were built and measured."""
    spec = read_spec(random_pipeline).model_copy(update=other)
    assert choose(None, tuple(PEERS), tuple(PEERS), False, spec) == []
    with pytest.raises(UserError, match=r"the peer diffusers cannot run here: it draws from text by Stable Diffusion"):
        choose(["diffusers"], tuple(PEERS), tuple(PEERS), False, spec)


@pytest.mark.parametrize(("ours", "theirs"), [("default", "reduce-overhead"), ("autotune", "max-autotune")])
def test_a_peer_is_compiled_with_the_effort_of_ours(
    ours: CompileMode, theirs: str, random_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str] = []
    monkeypatch.setattr(pipelines, "compile_pipeline", lambda _, __, mode: modes.append(mode))
    pipelines.diffusers_compiled(
        PeerModel(random_pipeline, CPU, "fp32", ours), workload(read_spec(random_pipeline), 1, steps=1, guidance=1), 1
    )
    assert modes == [theirs]

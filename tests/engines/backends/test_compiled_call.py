"""What torch compiles is compiled whole, once for each engine, and an engine that is not compiled is an error."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from engines_helpers import gauss
from torch._inductor.runtime.cache_dir_utils import cache_dir

from dermforge.common.errors import UserError
from dermforge.common.private_folder import private_folder
from engines.backends import compiled_call
from engines.backends.compiled_call import CompiledCall, keep_kernels, own_code, parse_mode
from engines.backends.cuda_graph import Captured
from engines.backends.torch_compiled import compiled
from engines.backends.torch_eager import load_modules
from engines.calls import Calls
from engines.errors import EngineError
from engines.pipeline_spec import read_spec

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_code_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dynamo traces and guards as always; in place of Inductor's code the traced graph runs."""
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", lambda graph, inputs, config_patches: graph.forward)


def scaled(factor: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def scale(array: torch.Tensor) -> torch.Tensor:
        return array * factor

    return scale


def test_more_engines_than_dynamos_limit_are_all_compiled() -> None:
    """Functions of one code at more shapes and types than the eight that Dynamo compiles of one code object."""
    torch.compiler.reset()
    calls = [CompiledCall(scaled(n), "default") for n in range(12)]
    for n, call in enumerate(calls):
        array = torch.ones(n + 1, 2, dtype=torch.float64 if n % 2 else torch.float32)
        assert torch.equal(call(array), array * n)
        assert call.graphs == 1
    assert calls[0](torch.ones(1, 2)).sum() == 0
    assert calls[0].graphs == 1


def test_one_code_object_for_all_would_reach_the_limit() -> None:
    """What `own_code` is for: without it Dynamo gives up, which with whole graphs is an error."""
    torch.compiler.reset()
    calls = [torch.compile(scaled(n), backend=lambda g, _: g.forward, dynamic=False, fullgraph=True) for n in range(9)]
    for n in range(8):
        calls[n](torch.ones(n + 1))
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        calls[8](torch.ones(9))
    assert own_code(scaled(1)).__code__ != own_code(scaled(1)).__code__


def test_ordinary_and_inference_tensors_share_one_compilation() -> None:
    call = CompiledCall(scaled(3.0), "default")
    ordinary, strided = torch.ones(2, 3), torch.ones(3, 2).T
    with torch.inference_mode():
        inference = torch.ones(2, 3)
        from_inside = [call(inference), call(ordinary)]
    for made in (*from_inside, call(inference), call(ordinary), call(strided)):
        assert torch.equal(made, torch.full((2, 3), 3.0))
        assert not made.is_inference()
        assert not made.requires_grad
    assert call.graphs == 1


@pytest.mark.slow
def test_an_engine_and_a_recorded_step_compile_a_network_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on CUDA: the sampler's buffers are ordinary tensors, a certificate's are made in inference mode."""
    made: list[CompiledCall] = []

    class Watched(CompiledCall):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr("engines.backends.torch_compiled.CompiledCall", Watched)
    monkeypatch.setattr("engines.backends.torch_compiled.captured", recorded_without_cuda)
    calls: Calls = compiled(load_modules(model), read_spec(model), CPU)
    unet, decoder = made
    args = gauss(2, 4, 8, 8), torch.tensor([3.0, 900.0]), gauss(2, 16, 32)
    with torch.inference_mode():
        calls.denoise(*args)
        calls.decode(args[0].clone())
    unet(*args)
    calls.denoise(*args)
    calls.decode(args[0])
    assert (unet.graphs, decoder.graphs) == (1, 1)


def recorded_without_cuda(call: Callable[..., torch.Tensor], *examples: torch.Tensor) -> Callable[..., torch.Tensor]:
    """`Captured` whose replay runs the call again."""

    class Graph:
        def replay(self) -> None:
            step.output = call(*step.inputs)

    step = Captured.__new__(Captured)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engines.backends.cuda_graph.record", lambda run, device: (Graph(), run()))
        step.__init__(call, *examples)  # type: ignore[misc]
    return step


def test_a_call_that_torch_does_not_compile_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda call, **_: call)  # as with TORCHDYNAMO_DISABLE=1
    with pytest.raises(EngineError, match="without compiling it"):
        CompiledCall(scaled(2.0), "default")(torch.ones(2))


def test_a_call_in_several_graphs_is_an_error() -> None:
    def broken(array: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return array + 1

    with pytest.raises(torch._dynamo.exc.Unsupported):
        CompiledCall(broken, "default")(torch.ones(2))


def test_kernels_are_kept_in_a_private_folder_unless_the_user_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(compiled_call.KERNELS, "theirs")
    keep_kernels()
    assert os.environ[compiled_call.KERNELS] == "theirs"
    monkeypatch.delenv(compiled_call.KERNELS)
    cache_dir()  # torch names its own place there
    keep_kernels()
    kept = Path(os.environ[compiled_call.KERNELS])
    assert kept == tmp_path / "dermforge" / "inductor"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert Path(cache_dir()) == kept
    kept.chmod(0o777)
    monkeypatch.delenv(compiled_call.KERNELS)
    with pytest.raises(UserError, match=f"others may write to; .* name another by {compiled_call.KERNELS}"):
        keep_kernels()


def test_a_user_without_a_home_keeps_kernels_until_the_next_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, remedy: str) -> Path:
        if path.is_relative_to(tmp_path / "home"):
            raise PermissionError(path)
        return private_folder(path, remedy)

    monkeypatch.setattr(compiled_call, "private_folder", refused)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(compiled_call.KERNELS, "any")
    monkeypatch.delenv(compiled_call.KERNELS)
    keep_kernels()
    assert Path(os.environ[compiled_call.KERNELS]) == tmp_path / f"dermforge-inductor-{os.geteuid()}"


def test_an_unknown_mode_is_named() -> None:
    assert [parse_mode(name) for name in (None, "default", "autotune")] == [None, "default", "autotune"]
    with pytest.raises(EngineError, match="unknown mode of compiling 'fast'; expected default or autotune"):
        parse_mode("fast")

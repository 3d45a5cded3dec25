"""Memory is estimated before the work, and running out of it is one line."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.exc import InductorError

from engines import build
from engines.errors import EngineError
from engines.memory import build_bytes, explained, float32_bytes, give_back, resident_bytes


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


def test_memory_is_estimated_from_the_numbers_and_not_from_how_they_are_stored(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    before = float32_bytes(weights)
    save_file({name: value.half() for name, value in load_file(weights).items()}, weights)
    assert float32_bytes(weights) == before


def test_truncated_weights_are_named_before_the_work(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EngineError, match=r"diffusion_pytorch_model\.safetensors is not a whole safetensors file"):
        build_bytes(folder, "fp32")


def test_too_little_memory_is_said_before_the_work(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.memory.available_bytes", lambda: 500_000_000)
    with pytest.raises(EngineError, match=r"needs about 1\.\d GB of memory and 0\.5 GB is free"):
        build(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def held() -> int:
    found = resident_bytes()
    assert found is not None
    return found


def test_what_cycles_hold_is_given_back_once_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    gc.disable()
    try:
        cycle: list[object] = [torch.ones(75_000_000)]
        cycle.append(cycle)
        before = held()
        del cycle
        give_back()
        assert held() > before - 100_000_000
        monkeypatch.setattr("engines.memory.MUCH", before // 2)
        give_back()
        assert held() < before - 250_000_000
    finally:
        gc.enable()


OOM = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 100 GiB")


def wrapped(wrap: Callable[[Exception], Exception]) -> Exception:
    """An error that took the place of running out of memory, as a compiler raises it."""
    try:
        try:
            raise OOM
        except RuntimeError as error:
            raise wrap(error)  # noqa: B904  # as it is in torch
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        OOM,
        wrapped(lambda e: InductorError(e, None)),
        wrapped(lambda e: BackendCompilerFailed(len, e, None)),
        wrapped(lambda e: RuntimeError("the graph could not be recorded")),
        InductorError(OOM, None),
        RuntimeError("CUDA error: out of memory"),  # as graphs raise it
    ],
)
def test_running_out_of_memory_is_one_line_in_whatever_it_arrives(error: Exception) -> None:
    line = r"^a UNet call ran out of GPU memory: use fewer rows.*\(CUDA.*memory"
    with pytest.raises(EngineError, match=line), explained("a UNet call"):
        raise error


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2"), explained("a UNet call"):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.gpu
def test_too_many_rows_for_the_memory_is_one_line(model: Path, tmp_path: Path) -> None:
    """Of a twentieth of the memory: others may be at work on the same GPU."""
    torch.cuda.set_per_process_memory_fraction(0.05)
    try:
        with pytest.raises(EngineError, match="ran out of GPU memory: use fewer rows"):
            build(model, tmp_path / "out", backend="torch", rows=20_000_000)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert list(tmp_path.iterdir()) == []

"""A certificate holds one network in memory at a time, and says how far it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engines import Bundle, load
from engines.backends.torch_eager import Reference
from engines.calls import Lazy
from engines.draw import start_of
from engines.engine import Engine
from engines.parity import component_errors, parity_inputs, parity_outputs

PROMPTS = ["a", "b"]


@pytest.fixture(params=["torch", "onnxruntime"])
def engine(request: pytest.FixtureRequest, model: Path, bundle: Bundle) -> Engine:
    return Reference(model, bundle, torch.device("cpu")) if request.param == "torch" else load(bundle.folder)


def test_one_network_is_open_at_a_time_and_none_at_the_end(
    model: Path, bundle: Bundle, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = parity_inputs(Reference(model, bundle, torch.device("cpu")), PROMPTS)
    engine.release()
    engine.one_at_a_time()
    opened: list[int] = []
    call = Lazy.__call__

    def counted(self: Lazy, *arrays: torch.Tensor) -> torch.Tensor:
        out = call(self, *arrays)
        opened.append(sum(one.is_open for one in engine.lazy()))
        return out

    monkeypatch.setattr(Lazy, "__call__", counted)
    parity_outputs(engine, inputs, "engine", prompts=PROMPTS, start=start_of(engine.spec, len(PROMPTS)))
    assert set(opened) == {1}
    assert not any(one.is_open for one in engine.lazy())


def test_an_engine_that_is_the_reference_has_no_error(model: Path, bundle: Bundle) -> None:
    reference = Reference(model, bundle, torch.device("cpu"))
    steps: list[tuple[str, str]] = []
    inputs = parity_inputs(reference, PROMPTS)
    start = start_of(reference.spec, len(PROMPTS))
    first = parity_outputs(
        reference, inputs, "float32", lambda step, so_far="": steps.append((step, so_far)), PROMPTS, start
    )
    second = parity_outputs(reference, inputs, "float32")
    errors = component_errors(first, second, "no remedy")
    assert {error for kinds in errors.values() for error in kinds.values()} == {0.0}
    assert ("float32: images of 2 prompts", "step 8 of 8") in steps

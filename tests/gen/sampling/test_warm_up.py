"""An engine is made ready once: the decoder before the step, and one loop for many runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from runs_helpers import rows as plan_rows

from engines import Engine
from engines.marks import mark
from gen.diffusion.denoising_loop import DenoisingLoop
from gen.sampling import warm_up as room
from gen.sampling.in_memory import sample_images
from gen.sampling.run_record import describe
from gen.sampling.sampler import Sampler
from gen.sampling.warm_up import warm_up


@pytest.mark.parametrize(("device", "expected"), [("meta", ["decode 4", "record"]), ("cpu", ["record"])])
def test_the_decoder_is_compiled_before_the_step_is_recorded(
    open_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch, device: str, expected: list[str]
) -> None:
    """On any device of its own (the meta device stands for one); a CPU draws nothing in vain."""
    done: list[str] = []
    place = torch.device(device)
    engine: Any = SimpleNamespace(
        device=place,
        spec=open_engine().spec,
        vae_batch=4,
        decode=lambda latents: done.append(f"decode {len(latents)}"),
        mark=lambda: mark(place),
    )
    monkeypatch.setattr(room, "DenoisingLoop", lambda given: done.append("record"))
    warm_up(engine)
    assert done == expected


def test_one_loop_serves_many_runs(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """Also after a run that was broken off in the middle: nothing of it is left in the slots."""
    engine, plan = open_engine(), plan_rows(2, steps=3)
    loop = warm_up(engine)
    expected = sample_images(engine, plan.rows(), loop=DenoisingLoop(engine))
    assert np.array_equal(sample_images(engine, plan.rows(), loop=loop), expected)

    class Stop(Exception):
        pass

    def stop(_: object) -> None:
        raise Stop

    sampler = Sampler(engine, plan, tmp_path, describe(engine, plan, "s"), loop=loop)
    with pytest.raises(Stop):
        sampler.run([0], stop)
    assert np.array_equal(sample_images(engine, plan.rows(), loop=loop), expected)
    again = Sampler(engine, plan, tmp_path, describe(engine, plan, "s"), loop=loop).run([0])
    assert again.images == len(plan)
    assert again.forwards_per_image * len(plan) == loop.rows

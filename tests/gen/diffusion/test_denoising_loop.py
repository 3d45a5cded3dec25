"""Denoising in slots: each image as if it were alone, by a step that never waits for the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from engines import Engine
from engines.conditioning import chosen
from engines.errors import EngineError
from gen.diffusion.batch_state import STEP_COLUMNS
from gen.diffusion.denoising_loop import DenoisingLoop, InFlightImage
from gen.diffusion.steps import SolverState, advance
from gen.plan import plan
from gen.sampling.prepare import Preparer

SOLVERS = ("ddim", "euler", "dpmsolver++", "unipc", "lcm", "heun", "tcd", "euler-ancestral")


def images(engine: Engine, n: int = 16) -> list[InFlightImage]:
    """Images of all solvers, with and without guidance and noise; every third keeps half of another image."""
    rows = plan.from_rows(
        {
            "id": f"r{i:03d}",
            "class": "plaque",
            "group": "dark",
            "size": 64,
            "prompt": f"An image of {i}, dark skin",
            "solver": SOLVERS[i % len(SOLVERS)],
            "steps": 2 + i % 4,
            "guidance": (1.0, 3.0, 5.0)[i % 3],
            "guidance_interval": (0.3, 5.0) if i % 2 else None,
        }
        for i in range(n)
    ).rows()
    preparer = Preparer(engine)
    made = [preparer.new(number, row) for number, row in enumerate(rows)]
    preparer.start(made)
    noise = torch.Generator().manual_seed(0)
    for image in made[::3]:
        assert image.latents is not None
        redraw = torch.zeros(1, *image.latents.shape[1:], dtype=torch.bool)
        redraw[:, :4] = True
        clean, start = (torch.randn(image.latents.shape, generator=noise) for _ in range(2))
        image.kept = clean, start, redraw
    return made


def alone(engine: Engine, image: InFlightImage) -> torch.Tensor:
    """The image's latents, row by row of its table, with nothing shared."""
    table, guided = image.table, image.guided
    assert image.latents is not None
    assert table is not None
    assert guided is not None
    assert image.text is not None
    state = SolverState.start(image.latents[None])
    for i, time in enumerate(table.timesteps):
        x = state.x if image.extra is None else torch.cat([state.x, image.extra[None]], dim=1)
        at = torch.tensor([time], dtype=torch.float32)
        out = engine.denoise(x, at, chosen(image.text, None))
        if guided[i]:
            assert image.negative is not None
            free = engine.denoise(x, at, chosen(image.negative, None))
            out = free + image.row.guidance * (out - free)
        state = advance(table.coefficients[i][None], state, out, image.noise(i, tuple(image.latents.shape))[None])
        if image.kept is not None:
            clean, start, redraw = image.kept
            alpha, sigma = float(table.alphas[i + 1]), float(table.sigmas[i + 1])
            held = clean if i + 1 == len(table) else alpha * clean + sigma * start
            state.x = torch.where(redraw, state.x, held)
    return state.x[0]


def run(loop: DenoisingLoop, waiting: list[InFlightImage]) -> dict[int, torch.Tensor]:
    waiting, done = list(waiting), {}
    while waiting or loop.busy:
        while waiting and loop.hungry:
            loop.admit(waiting.pop(0))
        for image in loop.step():
            assert image.latents is not None
            done[image.number] = image.latents
    return done


@pytest.mark.parametrize("model", ["text", "inpaint"])
def test_an_image_among_others_is_the_image_alone(open_engine: Callable[..., Engine], model: str) -> None:
    """Solvers, steps, guidance, injected noise and held regions, all in the same calls of eight rows."""
    engine = open_engine(model)
    expected = [alone(engine, image) for image in images(engine)]
    loop = DenoisingLoop(engine)
    got = run(loop, images(engine))
    assert sorted(got) == list(range(len(expected)))
    for number, latents in got.items():
        torch.testing.assert_close(latents, expected[number], rtol=1e-5, atol=1e-5)
    assert loop.rows > 0.8 * loop.calls * engine.rows


def test_the_settings_are_what_the_step_takes(open_engine: Callable[..., Engine]) -> None:
    engine = open_engine()
    loop = DenoisingLoop(engine)
    loop.admit(images(engine, 2)[1])  # euler, guidance 3 within an interval
    settings = dict(zip(STEP_COLUMNS, loop._settings(0), strict=True))
    assert settings["guidance"] == 3
    assert settings["advances"] == 1
    assert settings["x<noise"] == 0


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_recorded_step_is_the_step_and_waits_for_nothing(
    pipelines: dict[str, Any], tmp_path: Any, precision: str
) -> None:
    """One graph with UNet, guidance and solvers; torch raises where the CPU would wait for the GPU."""
    import engines

    engines.build(
        pipelines["text"], tmp_path / "bundle", backend="torch", precision=precision, rows=8, allow_parity_failure=True
    )
    engine = engines.load(tmp_path / "bundle")
    assert engine.calls.recordable is not None
    eager, recorded = DenoisingLoop(engine), DenoisingLoop(engine)
    eager.slots.runs = [partial(eager.slots.step, engine.calls.denoise, [*engine.spec.conditioning])]
    expected, waiting, done = run(eager, images(engine)), images(engine), {}
    while waiting or recorded.busy:
        while waiting and recorded.hungry:
            recorded.admit(waiting.pop(0))
        torch.cuda.set_sync_debug_mode("error")
        try:
            done.update({image.number: image.latents for image in recorded.step()})
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for number, latents in expected.items():
        torch.testing.assert_close(done[number], latents, rtol=1e-3, atol=1e-3)


def test_a_step_that_cannot_be_recorded_for_lack_of_memory_is_one_line(
    open_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("gen.diffusion.denoising_loop.BatchState", full)
    with pytest.raises(EngineError, match=r"^recording a step of \d+ batch rows ran out of GPU memory"):
        DenoisingLoop(open_engine())

"""The student before it is trained, and what it learns from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gen.distill.settings import Distillation
from gen.distill.student import Student, new_student
from gen.finetune.base import Base, load_base, read_base
from gen.finetune.data.batches import Batch
from gen.finetune.data.examples import Examples, make_examples, training_rows
from gen.finetune.trainer import trainable
from shards.ingest.folder import open_data


@pytest.fixture
def base(random_pipeline: Path) -> Base:
    return load_base(*read_base(random_pipeline, None))


@pytest.fixture
def examples(images: Path) -> Examples:
    return make_examples(training_rows(open_data(images)), "An image of {class}, {group}")


def batch(base: Base, timestep: int) -> Batch:
    side, generator = base.spec.latent_size, torch.Generator().manual_seed(0)
    noisy = torch.randn(2, base.spec.latent_channels, side, side, generator=generator)
    ones = torch.ones(2)
    return Batch(noisy, noisy, torch.full((2,), timestep), torch.tensor([0, 1]), ones, torch.tensor([0.1, 0.9]))


def student(base: Base, examples: Examples, **changes: object) -> Student:
    return new_student(base, examples, Distillation.check(**{"method": "full", **changes}))


@pytest.mark.parametrize("changes", [{}, {"guidance": (2, 8)}, {"method": "lora", "rank": 2}])
def test_it_begins_as_its_teacher(base: Base, examples: Examples, changes: dict[str, object]) -> None:
    made, some = student(base, examples, **changes), batch(base, 499)
    scale = torch.tensor([2.0, 7.0])
    with torch.no_grad():
        got = made(some.noisy, some.timesteps, some.prompt, scale)
        unguided = made.guided(some.noisy, some.timesteps, some.prompt, torch.ones(2))
    torch.testing.assert_close(got, unguided, atol=1e-5, rtol=1e-4)


def test_the_loss_is_nothing_where_all_three_say_the_clean_latents(base: Base, examples: Examples) -> None:
    made, some = student(base, examples), batch(base, 499)
    clean = torch.zeros_like(some.noisy)

    def perfect(noisy: torch.Tensor, times: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        signal, sigma = made.objective.scales(times, noisy)
        return (signal * noisy - clean) / sigma  # the v that means the clean latents

    made.guided = perfect  # type: ignore[method-assign, assignment]
    made.averaged = lambda noisy, times, *more: perfect(noisy, times)  # type: ignore[method-assign]
    far = made.loss(lambda *_: torch.zeros_like(clean), some)  # type: ignore[arg-type]
    near = made.loss(perfect, some)  # type: ignore[arg-type]
    assert near < 1e-3 < far


def by_the_script(made: Student, some: Batch, scale: torch.Tensor) -> torch.Tensor:
    """The loss of diffusers' `train_lcm_distill_sd_wds.py` for a v-prediction, in float64 but for the networks."""
    a = made.objective.alphas_cumprod

    def scales(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return a[times].sqrt().reshape(-1, 1, 1, 1), (1 - a[times]).sqrt().reshape(-1, 1, 1, 1)

    def boundary(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = times.double().reshape(-1, 1, 1, 1) / 0.1
        return 0.25 / (scaled**2 + 0.25), scaled / (scaled**2 + 0.25) ** 0.5

    def of(network: Any, noisy: torch.Tensor, times: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        told = made.text(prompts)
        return made.predicted(network, noisy.float(), times, told).double()

    noisy, start = some.noisy.double(), some.timesteps
    before = start - 1000 // made.settings.teacher_steps
    (alpha, sigma), (skip, out) = scales(start), boundary(start)
    said = skip * noisy + out * (alpha * noisy - sigma * of(made.denoiser, noisy, start, some.prompt))
    conditional = of(made.teacher, noisy, start, some.prompt)
    unconditional = of(made.teacher, noisy, start, torch.full_like(some.prompt, len(made.prompts) - 1))
    w = (scale - 1).double().reshape(-1, 1, 1, 1)
    v = conditional + w * (conditional - unconditional)
    after, noise_after = scales(before)
    nearer = after * (alpha * noisy - sigma * v) + noise_after * (alpha * v + sigma * noisy)
    alpha, sigma = scales(before)
    skip, out = boundary(before)
    target = skip * nearer + out * (alpha * nearer - sigma * of(made.denoiser, nearer, before, some.prompt))
    c = made.settings.huber
    return (((said - target) ** 2 + c**2).sqrt() - c).mean()


@torch.no_grad()
def test_the_loss_is_that_of_diffusers_own_script(base: Base, examples: Examples) -> None:
    """Two images at different timesteps; the averaged weights are the student's own."""
    made, some = student(base, examples, guidance=(4, 4)), batch(base, 499)
    some = replace(some, timesteps=torch.tensor([39, 799]))
    for value in made.denoiser.parameters():
        value.mul_(1.1)  # away from its teacher
    expected = by_the_script(made, some, torch.tensor([4.0, 4.0]))
    assert float(made.loss(made, some)) == pytest.approx(float(expected), rel=1e-5)
    assert float(expected) > 0.01


def test_the_target_is_the_averaged_weights(base: Base, examples: Examples) -> None:
    made, some = student(base, examples), batch(base, 499)
    arrays = (some.noisy, some.timesteps, some.prompt, torch.ones(2))
    with torch.no_grad():
        own = made(*arrays)
        made.averages([*trainable(made)])
        same = made.averaged(*arrays)
        made.averages([value * 0.9 for value in trainable(made)])
        other = made.averaged(*arrays)
    assert torch.equal(own, same)
    assert not torch.equal(own, other)


def test_only_the_student_is_trained(base: Base, examples: Examples) -> None:
    made = student(base, examples).train()
    made.loss(made, batch(base, 499)).backward()
    assert all(value.grad is None for value in made.teacher.parameters())
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in made.denoiser.parameters())

"""A base takes the first steps: bytes that depend on nothing but the plan and the bundle, and full calls."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from runs_helpers import files, started
from safetensors.torch import load_file, save_file

import engines
from dermforge.common.errors import UserError
from gen.diffusion.denoising_loop import DenoisingLoop
from gen.plan import cost, grid
from gen.plan.plan import Plan, PlanRow, from_rows
from gen.plan.validate_plan import check
from gen.sampling import run_record
from gen.sampling.in_memory import sample_images
from gen.sampling.workers import SamplingJob
from shards import ShardSet

UNET = Path("unet/diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def bundle(pipelines: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pair")
    student = Path(shutil.copytree(pipelines["text"], root / "student"))
    weights = load_file(student / UNET)
    save_file({name: value * 1.05 for name, value in weights.items()}, student / UNET)
    facts = {"few_steps": {"solver": "lcm", "steps": 4, "guidance": 1.0}}
    (student / "dermforge.json").write_text(json.dumps(facts))
    engines.build(student, root / "bundle", backend="torch", rows=8, base=pipelines["text"], allow_parity_failure=True)
    return root / "bundle"


@pytest.fixture(scope="module")
def opened(bundle: Path) -> Callable[..., engines.Engine]:
    return lambda rows=8: engines.load(bundle, device="cpu", rows=rows)


def row(number: int, size: int, **changes: object) -> PlanRow:
    given = {
        "id": f"i{number}",
        "class": "plaque",
        "prompt": f"a {number % 3}",
        "solver": "lcm",
        "steps": 4,
        "size": size,
    }
    return PlanRow.model_validate(given | {"guidance": 3.0, "base_steps": number % 4, **changes})


def test_an_image_is_the_same_in_any_company(opened: Callable[..., engines.Engine]) -> None:
    """Rows of a call, order and neighbours: each image's bytes stay as they are."""
    engine = opened()
    rows = [row(i, engine.spec.size) for i in range(13)]
    alone = [sample_images(engine, [one])[0] for one in rows]
    for seed, size in ((0, 8), (1, 8), (2, 3), (3, 1)):
        mixed = random.Random(seed).sample(range(len(rows)), len(rows))
        drawn = sample_images(opened(size), [rows[i] for i in mixed])
        for place, i in enumerate(mixed):
            assert np.abs(drawn[place].astype(int) - alone[i]).max() <= (0 if size == 8 else 1)


def mixed(size: int) -> Plan:
    """18 images of which the base takes none to three steps."""
    return from_rows([row(i, size).model_dump(by_alias=True) for i in range(18)])


@pytest.fixture(scope="module")
def whole(bundle: Path, opened: Callable[..., engines.Engine], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in 5 shards by one worker."""
    folder, engine = tmp_path_factory.mktemp("whole"), opened()
    record = started(folder, engine, mixed(engine.spec.size))
    SamplingJob(folder, bundle, device="cpu").sample(run_record.todo(folder, record), engine)
    return folder


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_any_number_of_workers_writes_the_same_bytes(
    bundle: Path, opened: Callable[..., engines.Engine], whole: Path, tmp_path: Path, workers: int
) -> None:
    """Each with an engine of its own, the last one first."""
    engine = opened()
    record = started(tmp_path, engine, mixed(engine.spec.size))
    for index in reversed(range(workers)):
        SamplingJob(tmp_path, bundle, device="cpu").sample(run_record.todo(tmp_path, record, (index, workers)))
    assert len(files(whole)) == 3 * 5
    assert files(tmp_path) == files(whole)


def test_all_records_of_a_run_have_the_same_keys(whole: Path) -> None:
    """Also of images that the base takes no step of: loaders take the keys from the first records."""
    samples = [sample for sample, _ in ShardSet.open(whole).images()]
    assert {sample.base_steps for sample in samples} == {0, 1, 2, 3}
    assert len({tuple(json.loads(sample.canonical())) for sample in samples}) == 1


@pytest.mark.slow
def test_processes_at_the_same_time_write_the_same_bytes(bundle: Path, whole: Path, tmp_path: Path) -> None:
    """`--worker 0/3` to `2/3`."""
    line = f"sample --plan {whole}/plan.csv --engine {bundle} --device cpu --name s --shard-size 4 --shards {tmp_path}"
    record = run_record.read(whole)
    assert record is not None
    command = [sys.executable, "-m", "gen", *line.split(), "--threads", str(record.threads)]
    running = [subprocess.Popen([*command, "--worker", f"{index}/3"]) for index in range(3)]
    assert [process.wait(timeout=300) for process in running] == [0, 0, 0]
    assert files(tmp_path) == files(whole)


def test_the_calls_of_both_denoisers_are_full(opened: Callable[..., engines.Engine]) -> None:
    """While images wait, no call has an unused row, whichever denoiser it is of."""
    engine = opened()
    loop = DenoisingLoop(engine)
    sample_images(engine, [row(i, engine.spec.size, base_steps=1) for i in range(64)], loop=loop)
    assert loop.rows == 64 * 5
    assert loop.rows / (loop.calls * engine.rows) > 0.9


def test_the_base_takes_its_steps_and_no_other(opened: Callable[..., engines.Engine]) -> None:
    engine = opened()
    assert engine.base is not None
    counted = {"base": 0, "student": 0}
    for name, one in (("base", engine.base), ("student", engine)):
        own = one.calls.denoise

        def counting(*arrays: torch.Tensor, own: object = own, name: str = name) -> torch.Tensor:
            counted[name] += 1
            return own(*arrays)  # type: ignore[operator, no-any-return]

        object.__setattr__(one.calls, "denoise", counting)
    sample_images(engine, [row(0, engine.spec.size, base_steps=0)])
    assert counted == {"base": 0, "student": 4}
    sample_images(engine, [row(0, engine.spec.size, base_steps=2)])
    assert counted == {"base": 2, "student": 6}
    sample_images(engine, [row(0, engine.spec.size, base_steps=4)])
    assert counted == {"base": 6, "student": 6}


def test_all_steps_by_the_base_are_its_own_images(opened: Callable[..., engines.Engine]) -> None:
    """The student has no part in them: as many steps of DDIM, where that has the same timesteps."""
    engine = opened()
    assert engine.base is not None
    mine = row(0, engine.spec.size, solver="ddim", base_steps=4)
    theirs = mine.model_copy(update={"base_steps": 0})
    assert np.array_equal(sample_images(engine, [mine]), sample_images(engine.base, [theirs]))


def test_a_plan_has_the_defaults_of_the_bundle_and_its_cost(opened: Callable[..., engines.Engine]) -> None:
    engine = opened()
    assert engine.base is not None
    chosen = grid.settings_from(None, {"size": engine.spec.size}, grid.few_steps(engine.spec, True))
    assert (chosen.solver, chosen.steps, chosen.base_steps, chosen.guidance) == ("lcm", 4, 1, 3.0)
    alone = grid.settings_from(None, {}, grid.few_steps(engine.spec, False))
    assert (alone.base_steps, alone.guidance) == (0, 1.0)
    plan = from_rows(grid.rows(chosen, "a {class}", {("plaque", None): 3}))
    assert cost.forwards(plan, engine.spec, engine.base.spec) == 3 * 5
    check(plan, engine, None)


def test_steps_for_a_base_need_one(open_engine: Callable[..., engines.Engine]) -> None:
    engine = open_engine()
    plan = from_rows([row(1, engine.spec.size).model_dump(by_alias=True)])
    with pytest.raises(UserError, match="the bundle has none"):
        check(plan, engine, None)

"""The record of a run: another plan, shard or number of threads is refused; a fresh start removes only the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs_helpers import rows, started

from dermforge.common.errors import UserError
from engines import Engine
from engines.manifest import CompileMode
from gen.sampling import run_record
from gen.sampling.run_record import RunRecord
from gen.sampling.sampler import Sampler
from gen.sampling.workers import mode_of
from shards import Provenance, Sample, encode_image, write_shard


def test_a_changed_plan_is_refused_with_both_digests_and_fresh_starts_anew(
    open_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    engine, one, other = open_engine(), rows(2), rows(3)
    first = run_record.describe(engine, one, None, 5, "png", 95)
    assert first.name == "phantom-synthetic"
    run_record.open_run(tmp_path, first, one)
    Sampler(engine, one, tmp_path, first).run([0])
    assert run_record.todo(tmp_path, first) == [1]
    assert run_record.todo(tmp_path, first, (0, 2)) == []
    second = run_record.describe(engine, other, None, 5, "png", 95)
    with pytest.raises(UserError, match=f"{one.digest} there, {other.digest} now"):
        run_record.open_run(tmp_path, second, other)
    run_record.open_run(tmp_path, first, one)
    assert run_record.todo(tmp_path, first) == [1]
    (tmp_path / "mine.txt").write_text("kept")
    run_record.open_run(tmp_path, second, other, fresh=True)
    assert run_record.todo(tmp_path, second) == [0, 1, 2]
    assert (tmp_path / "mine.txt").exists()


def test_a_plan_without_the_record_of_its_run_is_refused(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """Nothing says whether it is as it was. A record without its plan is what an interrupted start leaves."""
    record = started(tmp_path, open_engine(), rows())
    (tmp_path / run_record.PLAN).unlink()
    assert run_record.read_plan(tmp_path) is None
    run_record.open_run(tmp_path, record, rows())
    assert run_record.read_plan(tmp_path) is not None
    (tmp_path / run_record.RECORD).unlink()
    with pytest.raises(UserError, match=r"plan\.csv, and no run\.json that says whether it was changed"):
        run_record.read_plan(tmp_path)


@pytest.mark.parametrize("text", ["3/3", "a/b", "1", "-1/2", "1/"])
def test_a_bad_worker_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected I/N"):
        run_record.parse_worker(text)


@pytest.mark.parametrize("other", ["plan", "bundle"])
def test_a_shard_of_another_run_is_refused(open_engine: Callable[..., Engine], tmp_path: Path, other: str) -> None:
    """Copied into the folder, it would pass for made: the run would be of two plans, or of two models."""
    record = started(tmp_path, open_engine(), rows())
    digests: dict[str, Any] = {
        "plan_digest": record.plan_digest,
        "bundle_digest": record.bundle_digest,
        f"{other}_digest": "b" * 64,
    }
    image = encode_image(np.zeros((64, 64, 3), np.uint8))
    write_shard(
        tmp_path,
        record.name,
        0,
        [(Sample(id="a", origin="phantom", label="plaque"), image, "png")],
        classes=["plaque", "ulcer"],
        provenance=Provenance(**digests),
    )
    with pytest.raises(UserError, match=rf"s-000000.tar is of .*{other} {'b' * 64}"):
        run_record.todo(tmp_path, record)


def test_a_run_keeps_its_number_of_threads(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """On a CPU another number sums in another order; records of before that was known are gone on with."""
    record = started(tmp_path, open_engine(), rows())
    assert record.threads == torch.get_num_threads()
    with pytest.raises(UserError, match=r"another threads: \d there, 99 now; resume with .* threads"):
        run_record.open_run(tmp_path, record.model_copy(update={"threads": 99}), rows())
    old = record.model_dump(exclude={"threads"}) | {"schema_version": 1}
    (tmp_path / run_record.RECORD).write_text(json.dumps(old))
    run_record.open_run(tmp_path, record, rows())
    assert run_record.read(tmp_path) == record


def test_a_run_keeps_its_mode_of_compiling(
    open_engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other kernels add in another order, in bundles of one digest. A machine that compiles nothing is told so."""

    def on_cuda(mode: CompileMode | None) -> RunRecord:
        """As `engines.load(compile_mode=mode)` opens a bundle, whose digest stays."""
        engine = open_engine()
        own = replace(engine.bundle, manifest=engine.bundle.manifest.model_copy(update={"compile_mode": mode}))
        calls = replace(engine.calls, device=torch.device("cuda"), threads=None)
        return run_record.describe(Engine(own, "torch", engine.rows, calls), rows(), "s", 5)

    record = on_cuda("default")
    run_record.open_run(tmp_path, record.model_copy(update={"compile_mode": None}), rows())  # an older version's
    run_record.open_run(tmp_path, record, rows())
    for other in ("autotune", None):  # without a mode the bundle is compiled by the usual one
        now = on_cuda(other)
        assert now.bundle_digest == record.bundle_digest
        with pytest.raises(UserError, match="another compile mode: default there, autotune now"):
            run_record.open_run(tmp_path, now, rows())
    with pytest.raises(UserError, match="another compile mode: default there, None now"):
        run_record.open_run(tmp_path, record.model_copy(update={"compile_mode": None}), rows())
    kept = run_record.read(tmp_path)
    for gpu, device, expected in ((True, None, "default"), (True, "cpu", None), (False, None, None)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        assert mode_of(kept, device) == expected
    assert mode_of(None) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "a b"}, "name 'a b' of the run"),
        ({"shard_size": 0}, "shard size 0 of the run"),
        ({"image_format": "gif"}, "image format 'gif' of the run: input should be 'png', 'jpg' or 'webp'"),
        ({"quality": 101}, "quality 101 of the run"),
    ],
)
def test_settings_that_are_not_possible_are_named(
    open_engine: Callable[..., Engine], settings: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        run_record.describe(open_engine(), rows(), **settings)  # type: ignore[arg-type]


def test_the_last_shard_may_hold_fewer(open_engine: Callable[..., Engine]) -> None:
    record = run_record.describe(open_engine(), rows(), "s", 8)
    assert [record.images_in(shard) for shard in range(record.shards)] == [8, 8, 4]

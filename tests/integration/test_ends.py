"""Every command that writes, ended at any call in any way, leaves before or after; run again, it finishes the same."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from ends import ENDS, Trial, Warm
from image_helpers import write_shards
from shards_helpers import CLASSES, items, write
from study_helpers import BASE, generator
from tiny_pipeline import tiny_pipeline
from use_helpers import certificate, phantom, write_real, write_side

import engines
from dermforge.common.use_certificate import USE
from gen.phantoms.dataset import PhantomSplit
from shards import ShardSet, write_shard

#: What differs from run to run in `result.json`: times, and the digest over them.
TIMES = re.compile(rb'"(sha256|seconds|images_per_second)": ?("[^"]*"|[0-9.e-]+)')


@dataclass(frozen=True)
class Case:
    """A command; `{}` is the folder that it works in, `{made}` one that it only reads."""

    line: str
    prepare: Callable[[Path], None]
    statuses: tuple[int, ...] = (0,)
    between: tuple[str, ...] = ()
    ends: tuple[str, ...] = tuple(ENDS)  # of the fast tests, which try one point of each


def one_set(folder: Path) -> None:
    write(folder / "set", 6)


def damaged_set(folder: Path) -> None:
    """Two damaged shards and a whole one."""
    for index in range(3):
        sidecar = write_shard(folder / "set", "set", index, items(4, f"s{index}"), classes=CLASSES)
        tar = folder / "set" / sidecar.tar
        flipped = bytearray(tar.read_bytes())
        flipped[sidecar.samples[1].members["png"][0] + 60] ^= index > 0
        tar.write_bytes(flipped)


def damaged_run(folder: Path) -> None:
    shutil.copytree(MADE["folder"] / "run", folder / "run")
    (folder / "run" / "phantom-synthetic-000001.tar").write_bytes(b"damaged")


def real_and_synthetic(folder: Path) -> None:
    write_shards(folder / "train", 0, 1, "real")
    write_shards(folder / "validation", 1000, 1, "real")
    write_shards(folder / "synthetic", 2000, 1, "synthetic")


def splits(folder: Path) -> None:
    for split in ("train", "validation", "test"):
        PhantomSplit(split, 1, seed=900).write(folder / "real")  # type: ignore[arg-type]
    generator(folder / "made", "made", ShardSet.open(folder / "real" / "train").classes, (BASE,))


def certified_bundle(folder: Path) -> None:
    """A bundle with one certificate of use, and another one beside it."""
    bundle = shutil.copytree(MADE["folder"] / "bundle", folder / "bundle")
    digest = engines.read_bundle(bundle).digest
    (bundle / USE).write_bytes(certificate(bundle=digest, verdict="fail").content())
    (folder / USE).write_bytes(certificate(bundle=digest).content())


def teacher_and_student(folder: Path) -> None:
    write_side(folder / "teacher", phantom(0), 2, steps=20)
    write_side(folder / "student", phantom(100), 2)
    write_real(folder / "real", 2)


CASES = {
    "select": Case("shards select {}/set --out {}/kept --group dark --shard-size 1", one_set),
    "repair": Case("shards repair {}/set --out {}/saved", damaged_set, (1,), between=("saved/_repaired.json",)),
    "card": Case("shards card {}/set --license mit --date 2026-01-01", one_set),
    "sample": Case(
        "gen sample --engine {made}/bundle --per-cell 1 --steps 2 --shard-size 2 --shards {}/run", lambda folder: None
    ),
    "regenerate": Case("gen regenerate {}/run --engine {made}/bundle --shard 1", damaged_run),
    "attach": Case("gen attach {}/bundle {}/use.json --overwrite", certified_bundle),
    "use": Case(
        "evalsuite use --teacher {}/teacher --student {}/student --real {}/real --seeds 0 --out {}/use",
        teacher_and_student,
        (0, 1),
        ends=("SIGKILL", "EIO"),
    ),
    "filter": Case(
        "evalsuite filter {}/synthetic --train {}/train --validation {}/validation --out {}/out --write {}/kept "
        "--extractor colour-structure",
        real_and_synthetic,
        ends=("SIGKILL", "EIO"),
    ),
    "study": Case(
        "evalsuite study --real {}/real --synthetic {}/made --out {}/study --arms none --n-real 2 --ratios 1 --seeds 1 "
        "--steps 1 --batch 8 --n-boot 100 --workers 1 --model test_efficientnet --weights scratch --size 32",
        splits,
        ends=("SIGKILL",),
    ),
}
MADE: dict[str, Path] = {}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, and a run of it."""
    from command_helpers import call

    folder = MADE["folder"] = tmp_path_factory.mktemp("made")
    engines.build(
        tiny_pipeline(folder / "pipeline"), folder / "bundle", backend="torch", rows=8, allow_parity_failure=True
    )
    assert call(f"gen sample --engine {folder}/bundle --per-cell 1 --steps 2 --shard-size 2 --shards {folder}/run") == 0
    return folder


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def trial(case: Case, warm: Warm, made: Path, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    before = tmp_path_factory.mktemp("before")
    case.prepare(before)
    line = case.line.replace("{made}", str(made))
    return Trial(warm, line, before, blank=without_times, between=case.between, statuses=case.statuses)


def without_times(name: str, content: bytes) -> bytes:
    return TIMES.sub(b"", content) if name.endswith("/result.json") else content


@pytest.mark.parametrize("end", ENDS)
def test_before_or_after(trial: Trial, case: Case, end: str) -> None:
    if end not in case.ends:
        pytest.skip("tried by the slow test")
    trial.check(end, most=1)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("end", ENDS)
def test_before_or_after_at_every_call(trial: Trial, end: str) -> None:
    assert trial.check(end) > 0.9 * trial.count(end)

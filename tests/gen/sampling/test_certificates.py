"""Sidecars name the certificates that their run began with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from runs_helpers import files, rows, started
from use_helpers import certificate

import engines
from dermforge.common.digests import digest_file
from dermforge.common.use_certificate import USE, Cell, ImagesUsed, settings_of
from engines import Engine
from gen.plan.plan import Plan
from gen.sampling import run_record
from gen.sampling.certificates import certificates_of
from gen.sampling.image_record import sample_of
from gen.sampling.regenerate import regenerate
from gen.sampling.sampler import Sampler
from shards import ShardSet
from shards.format.provenance import Certificates


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundles["text"], tmp_path / "bundle"))


def certify(bundle: Path, plan: Plan, verdict: str = "pass") -> str:
    """Put a certificate of use that covers a plan into a bundle, by the records of its images; its digest."""
    record = run_record.describe(engines.load(bundle, device="cpu"), plan)
    drawn = [sample_of(row, record, plan.by_base) for row in plan.rows()]
    settings = tuple({repr(s): s for one in drawn if (s := settings_of(one.model_dump()))}.values())
    cells = {(one.label, one.group, one.strategy) for one in drawn}
    made = certificate(
        bundle=engines.read_bundle(bundle).digest,
        verdict=verdict,
        student=ImagesUsed(digest="d" * 64, images=9, settings=settings),
        cells=tuple(Cell(label=c, group=g, strategy=s, n=1, settings=tuple(range(len(settings)))) for c, g, s in cells),
    )
    (bundle / USE).write_bytes(made.content())
    return digest_file(bundle / USE)


def test_what_a_bundle_and_a_plan_have(bundle: Path) -> None:
    plan = rows()
    engine = engines.load(bundle, device="cpu")
    alone = certificates_of(engine, plan)
    assert alone.use is None
    assert not alone.use_missing
    assert alone.parity is not None
    assert alone.parity.passed == engine.certified
    assert engine.model_digest[:12] in alone.parity.reference
    digest = certify(bundle, plan, "fail")
    found = certificates_of(engine, plan).use
    assert found is not None
    assert (found.digest, found.verdict) == (digest, "fail")
    other = certificates_of(engine, rows(steps=3))
    assert other.use is None
    assert other.use_missing == "images drawn with steps 3 were not compared"


def test_a_run_keeps_the_certificates_that_it_began_with(bundle: Path, tmp_path: Path) -> None:
    """A certificate that is attached in the middle of a run changes no byte of it, nor of a shard made again."""
    plan, whole, half = rows(), tmp_path / "whole", tmp_path / "half"
    engine = engines.load(bundle, device="cpu")
    record = started(whole, engine, plan, 10)
    started(half, engine, plan, 10)
    Sampler(engine, plan, whole, record).run([0, 1])
    Sampler(engine, plan, half, record).run([0])
    certify(bundle, plan)
    begun = run_record.read(half)
    assert begun is not None
    resumed = run_record.describe(engine, plan, "s", 10, "png", 95, begun)
    run_record.open_run(half, resumed, plan)
    Sampler(engine, plan, half, resumed).run(run_record.todo(half, resumed))
    assert files(half) == files(whole)
    regenerate(half, 1, bundle, replace=True)
    assert files(half) == files(whole)


def test_every_sidecar_names_the_certificate_of_use(bundle: Path, tmp_path: Path) -> None:
    plan = rows()
    digest = certify(bundle, plan)
    engine = engines.load(bundle, device="cpu")
    Sampler(engine, plan, tmp_path / "run", started(tmp_path / "run", engine, plan, 10)).run([0, 1])
    for sidecar in ShardSet.open(tmp_path / "run").sidecars:
        assert sidecar.certificates is not None
        assert sidecar.certificates.use is not None
        assert sidecar.certificates.use.digest == digest


def test_a_run_of_an_earlier_version_goes_on_without_certificates(
    open_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    engine, plan = open_engine(), rows()
    record = started(tmp_path, engine, plan, 10).model_copy(update={"certificates": None})
    Sampler(engine, plan, tmp_path, record).run([0])
    assert ShardSet.open(tmp_path).sidecars[0].certificates is None
    assert b"certificates" not in (tmp_path / "s-000000.json").read_bytes()
    assert Certificates() != record.certificates

"""The whole repetition at a size that runs in a minute: it resumes after any end, and its tables are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.suites.published_study import conduct_study, generators
from bench.suites.published_study.settings import STRATEGIES, TUNING, StudySettings
from dermforge.common.errors import UserError
from dermforge.common.sealed_file import sealed_json
from evalsuite.study.design import PLAN, Grid, new_study
from evalsuite.training.data.datasets import Places
from evalsuite.training.recipe import make_recipe
from gen.builtin.train_stages import Budget
from gen.phantoms.dataset import PhantomSplit
from shards import ShardSet

SMALL = {
    "sizes": (2,),
    "ratios": (1,),
    "seeds": 1,
    "per_cell": (2, 1, 2),
    "steps": 2,
    "classifier_steps": 2,
    "arms": ("real-repeated",),
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generators that are tuned for two steps."""
    changes = {"steps": 2, "batch": 4, "ema": 0.0, "warmup": 0}
    monkeypatch.setattr(generators, "TUNING", {base: TUNING[base].model_copy(update=changes) for base in TUNING})
    monkeypatch.setattr(generators, "VAE_BUDGET", Budget(encoder_steps=2, decoder_steps=2, vae_batch=2))


def tables(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.csv"))}


@pytest.mark.slow
def test_a_study_is_done_once_and_resumes_with_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StudySettings.check(**SMALL, bases=("none",))
    stopped: list[str] = []

    def stop(say: str) -> None:
        stopped.append(say)
        if len(stopped) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct_study.conduct_study(tmp_path / "a", settings, n_boot=100, workers=1, say=stop)
    for work in ("a", "b"):
        found = conduct_study.conduct_study(tmp_path / work, settings, n_boot=100, workers=1)
        conduct_study.publish(found, settings, tmp_path / "out" / work)
        assert {row.base for row in found[0].claims} == {"none"}
    assert tables(tmp_path / "out" / "a") == tables(tmp_path / "out" / "b")
    assert {"claims.csv", "none/gains.csv", "none/contrasts.csv"} <= tables(tmp_path / "out" / "a").keys()
    page = (tmp_path / "out" / "a" / "none" / "report.html").read_text()
    assert "drawn/none/n2-s0" in page
    assert str(tmp_path) not in page


@pytest.mark.slow
def test_a_generator_saw_the_real_images_of_its_arm_only(tmp_path: Path) -> None:
    """And the phantoms of what it was tuned from, none of which is in the study."""
    made = generators.Generators(tmp_path, StudySettings.check(**SMALL))
    drawn = ShardSet.open(made.drawn("other-phantoms", 2, 0))
    own = set(ShardSet.open(made.few(2, 0)).rows["id"])
    seen = set(drawn.provenance(0).lineage)
    assert own < seen
    real = {one for split in ("train", "validation", "test") for one in ShardSet.open(made.real() / split).rows["id"]}
    assert seen & real == own
    assert drawn.rows["strategy"].value_counts().to_dict() == dict.fromkeys(STRATEGIES, len(own))


@pytest.mark.slow
def test_photographs_take_the_place_of_phantoms(tmp_path: Path) -> None:
    """Each generator, its VAE too, saw the images of its arm and nothing else."""
    for split, per_cell in (("train", 2), ("validation", 1), ("test", 2)):
        PhantomSplit(split, per_cell, 31).write(tmp_path / "photographs")  # type: ignore[arg-type]
    given = {"bases": ("own-images",), "photographs": "digest", "size": 32, "strategies": ("text-to-image",)}
    settings = StudySettings.check(**SMALL | given)
    found = conduct_study.conduct_study(
        tmp_path / "work", settings, photographs=tmp_path / "photographs", n_boot=100, workers=1
    )
    drawn = ShardSet.open(tmp_path / "work" / "drawn" / "own-images" / "n2-s0")
    own = ShardSet.open(tmp_path / "work" / "few" / "n2-s0").rows["id"]
    assert set(drawn.provenance(0).lineage) == set(own)
    assert {row.base for row in found[0].claims} == {"own-images"}
    conduct_study.publish(found, settings, tmp_path / "out")
    assert (tmp_path / "out" / "own-images" / "gains.csv").is_file()
    assert not [*tmp_path.glob("out/**/*.html"), *tmp_path.glob("out/**/*.png")]


def test_what_cannot_be_is_refused_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More images than there are, and fewer generators than a study has."""
    monkeypatch.setattr(generators.Generators, "drawn", lambda *given: pytest.fail("a generator was made"))
    for split in ("train", "validation", "test"):
        PhantomSplit(split, 1, 31).write(tmp_path / "photographs")  # type: ignore[arg-type]
    given = {"bases": ("own-images",), "photographs": "digest", "size": 32, "strategies": ("text-to-image",)}
    settings = StudySettings.check(**SMALL | given | {"sizes": (2, 500)})
    with pytest.raises(UserError, match="500 real images of each class are asked for, and annulus has 6"):
        conduct_study.conduct_study(tmp_path / "work", settings, photographs=tmp_path / "photographs")

    settings = StudySettings.check(**SMALL, bases=("none",))
    settings.begin(tmp_path / "small")
    real, before = tmp_path / "small" / "real", tmp_path / "small" / "drawn" / "none"
    for split, per_cell in zip(("train", "validation", "test"), settings.per_cell, strict=True):
        PhantomSplit(split, per_cell, settings.phantom_seed).write(real)  # type: ignore[arg-type]
    places = Places(real=real, synthetic=(before / "n2-s0", before / "n4-s0"))
    study = tmp_path / "small" / "study-none"
    study.mkdir()
    plan = new_study(places, make_recipe(steps=2), Grid(sizes=(2, 4), ratios=(1,)))
    (study / PLAN).write_bytes(sealed_json(plan.model_dump_json()))
    with pytest.raises(UserError, match=r"has images of n4-s0 too .* ask for these sizes and seeds as well"):
        conduct_study.conduct_study(tmp_path / "small", settings)

"""Planted students fail in the right row; a twin with other seeds does not; few images say nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from use_helpers import BUNDLE, CLASSES, Draw, collapsed, one_tone, phantom, swapped, write_real, write_side

from dermforge.common.errors import UserError
from dermforge.common.use_certificate import UseCertificate
from evalsuite.images.features.extractors import colour_structure
from evalsuite.page.render import page
from evalsuite.report import use_report
from evalsuite.training.recipe import make_recipe
from evalsuite.use.gain_kept import Trial
from evalsuite.use.measure_use import Sets, Settings, UseReport, measure_use
from shards import Provenance, ShardSet, encode_image, write_shard

PER_CELL = 10  # 30 images of each class and each tone
NONE = Trial(make_recipe(model="test_efficientnet", size=32, steps=2), seeds=0)
QUICK = Settings(draws=60, control=1)
CHANGED = ("annulus", "light", 0)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("use")
    return SimpleNamespace(
        root=root,
        real=write_real(root / "real", PER_CELL),
        teacher=write_side(root / "teacher", phantom(0), PER_CELL, steps=20),
    )


Compare = Callable[[Draw], UseReport]


@pytest.fixture(scope="module")
def compare(sets: SimpleNamespace) -> Compare:
    """The report on a student that draws so; features are kept from one call to the next."""

    def compared(image: Draw) -> UseReport:
        student = write_side(sets.root / f"student-{len(list(sets.root.iterdir()))}", image, PER_CELL)
        places = Sets(sets.teacher, student, sets.real)
        return measure_use(places, [colour_structure()], NONE, QUICK, folder=sets.root / "kept")

    return compared


def failed(certificate: UseCertificate) -> set[str]:
    return {row.measure for row in certificate.rows if row.verdict == "fail"}


def test_a_twin_with_other_seeds_does_not_fail(compare: Compare, sets: SimpleNamespace) -> None:
    found = compare(phantom(500))
    certificate = found.certificate
    assert certificate.verdict == "cannot be determined"
    assert not failed(certificate)
    assert certificate.bundle == BUNDLE
    assert certificate.real["test"].images == 9 * PER_CELL
    assert sum(cell.n for cell in certificate.cells) == 9 * PER_CELL
    made = page([use_report.report(found)])
    for words in (
        "Recognised class",
        "Diversity",
        "Skin tone",
        "Copies of training images",
        "intersection-union",
        "Berger",
    ):
        assert words in made
    assert use_report.use_section(found).status == "unknown"


def test_diversity_is_that_of_the_reference(sets: SimpleNamespace) -> None:
    """Of the teacher's own pictures all are recalled, also by a student that draws all but one, and no row fails.

    As phantoms: images that are marked as a model's are no reference.
    """
    reference = sets.root / "reference"
    pictures = ShardSet.open(sets.teacher).images()
    drawn = [
        (sample.model_copy(update={"origin": "phantom"}), encode_image(image), "png") for sample, image in pictures
    ]
    write_shard(reference, "s", 0, drawn, classes=CLASSES)
    student = write_side(sets.root / "nearly", lambda *cell: phantom(0)(*cell) ^ (cell == CHANGED), PER_CELL)
    with pytest.raises(UserError, match="90 of 90 images are marked"):
        measure_use(Sets(sets.teacher, student, sets.real, reference=sets.teacher), [], NONE, QUICK)
    places = Sets(sets.teacher, student, sets.real, reference=reference)
    found = measure_use(places, [colour_structure()], NONE, QUICK, folder=sets.root / "kept").certificate
    recall = next(row for row in found.rows if row.measure == "recall")
    assert (recall.teacher, recall.student) == (1, 1)
    assert set(found.real) == {"train", "test", "reference"}
    assert not failed(found)


@pytest.mark.parametrize(
    ("student", "measures"),
    [
        pytest.param(collapsed(700), {"recall", "vendi"}, id="collapsed"),
        pytest.param(phantom(5000), {"copies"}, id="copies of training images"),
        pytest.param(one_tone(700), {"tone_order", "tone_degrees"}, id="one tone"),
        pytest.param(swapped(700), {"recognised", "recognised_class", "confusion"}, id="swapped"),
    ],
)
def test_a_planted_fault_fails_where_it_is(student: Draw, measures: set[str], compare: Compare) -> None:
    found = compare(student)
    assert found.certificate.verdict == "fail"
    assert measures <= failed(found.certificate)
    assert use_report.use_section(found).status == "bad"
    assert "No: some rows are outside" in page([use_report.report(found)])


def test_few_images_say_nothing(tmp_path: Path, sets: SimpleNamespace) -> None:
    """Even where the student is collapsed: eighteen images are not enough to tell."""
    teacher, student = (
        write_side(tmp_path / n, image, 2, steps=steps)
        for n, image, steps in (("t", phantom(0), 20), ("s", collapsed(700), 4))
    )
    certificate = measure_use(Sets(teacher, student, sets.real), [colour_structure()], NONE, QUICK).certificate
    assert certificate.verdict == "cannot be determined"
    assert {row.verdict for row in certificate.rows} == {"cannot be determined"}
    judged = [row for row in certificate.rows if row.measure not in ("copies", "gain")]
    assert all("at least 20 are needed" in row.note for row in judged)


def test_lineage_of_other_images_gives_no_verdict_on_copies(tmp_path: Path, sets: SimpleNamespace) -> None:
    """Copies were searched where the generator did not learn, so that nothing was shown."""
    sides = [
        write_side(tmp_path / n, phantom(start), 3, lineage=("other-1",), steps=20 - start // 9)
        for n, start in (("t", 0), ("s", 90))
    ]
    found = measure_use(Sets(sides[0], sides[1], sets.real), [colour_structure()], NONE, QUICK)
    row = next(row for row in found.certificate.rows if row.measure == "copies")
    assert row.verdict == "cannot be determined"
    assert row.note.startswith("0 of the 1 training images that the shards name were searched")


def test_a_test_image_in_the_lineage_is_refused(tmp_path: Path, sets: SimpleNamespace) -> None:
    sides = [
        write_side(tmp_path / n, phantom(start), 1, lineage=("r2-0000-0-0",), steps=20 - start)
        for n, start in (("t", 0), ("s", 9))
    ]
    with pytest.raises(UserError, match="1 test images are in the lineage of the generator"):
        measure_use(Sets(sides[0], sides[1], sets.real), [colour_structure()], NONE, QUICK)


def test_a_student_of_several_bundles_is_of_none(tmp_path: Path, sets: SimpleNamespace) -> None:
    teacher, other = (write_side(tmp_path / n, phantom(start), 1) for n, start in (("t", 0), ("s", 90)))
    images = [(sample, content, "png") for sample, content in ShardSet.open(other).samples()]
    for n, part in enumerate((images[:5], images[5:]), start=1):
        write_shard(
            tmp_path / "two", "s", n - 1, part, classes=CLASSES, provenance=Provenance(bundle_digest=f"{n}" * 64)
        )
    certificate = measure_use(Sets(teacher, tmp_path / "two", sets.real), [colour_structure()], NONE, QUICK).certificate
    assert certificate.bundle == ""
    assert certificate.student.bundles == ("1" * 64, "2" * 64)


@pytest.mark.slow
def test_the_gain_is_measured_with_real_classifiers(tmp_path: Path, sets: SimpleNamespace) -> None:
    student: Any = write_side(tmp_path / "s", phantom(500), PER_CELL)
    trial = Trial(make_recipe(model="test_efficientnet", size=32, steps=4, batch=8, ratio=10.0), seeds=3)
    found = measure_use(Sets(sets.teacher, student, sets.real), [colour_structure()], trial, QUICK).certificate
    gain = next(row for row in found.rows if row.measure == "gain")
    assert gain.n == 9 * PER_CELL
    assert gain.low is not None
    assert found.ratio == 1.0
    assert {row.cell for row in found.rows if row.measure == "gain_group"} == {"light", "tan", "dark"}

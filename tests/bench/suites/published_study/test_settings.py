"""What a repetition of the study may be, and how it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.suites.published_study.settings import RECORD, StudySettings
from dermforge.common.errors import UserError


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"sizes": ()}, "at least one number"),
        ({"ratios": (0.0,)}, "one ratio above 0"),
        ({"sizes": (8, 1000)}, "1000 real images per class; there are 360"),
        ({"bases": ("imagenet",)}, "`base` is 'imagenet'"),
        ({"phantom_seed": 0}, "`phantom_seed` is 0"),
        ({"photographs": "digest"}, "photographs have own-images"),
        ({"bases": ("own-images",)}, "phantoms have the others"),
        ({"size": 50}, "`size` is 50"),
        ({"strategies": ("outpaint",)}, "unknown strategies"),
        ({"sizes": (2, 2)}, "`n_real` names the same twice: 2, 2"),
        ({"strategies": ("inpaint", "inpaint")}, "`strategies` names the same twice"),
        ({"ratios": (1e9,)}, "expected 1000 at most"),
        ({"size": 32}, "phantoms have 64 pixels, and 32 are asked for"),
        ({"metric": "beauty"}, "`metric` is beauty"),
    ],
)
def test_what_is_no_study_is_refused(given: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        StudySettings.check(**given)


def test_photographs_have_a_generator_of_their_own() -> None:
    given = {"photographs": "digest", "bases": ("own-images",), "sizes": (1000,), "size": 32}
    assert StudySettings.check(**given).size == 32


def test_the_largest_ratio_says_how_many_images_are_drawn() -> None:
    assert StudySettings.check(ratios=(1, 2.5)).drawn_per_parent == 3


def test_more_seeds_and_sizes_may_be_added_and_nothing_else_changed(tmp_path: Path) -> None:
    """The images of the first run would be other ones."""
    StudySettings.check(sizes=(8,), seeds=1, bases=("none",)).begin(tmp_path / "work")
    StudySettings.check(sizes=(8, 16), seeds=2).begin(tmp_path / "work")
    with pytest.raises(UserError, match=r"was begun with ratios \(1.0, 2.0, 5.0.*and now \(1.0,\) is asked for"):
        StudySettings.check(ratios=(1,)).begin(tmp_path / "work")


def test_the_outcome_may_be_changed_and_that_of_photographs_counts_classes_alike(tmp_path: Path) -> None:
    given = {"photographs": "digest", "bases": ("own-images",), "size": 32}
    StudySettings.check(**given).begin(tmp_path / "work")
    StudySettings.check(**given, metric="auroc").begin(tmp_path / "work")
    assert StudySettings.check(**given).metric == "balanced_accuracy"
    assert StudySettings.check().metric == "accuracy"


@pytest.mark.parametrize("content", ['{"mine": 1}', '{"seeds": "many"}', "thesis"])
def test_a_strangers_settings_are_refused_in_a_line(content: str, tmp_path: Path) -> None:
    """Whether they are damaged, of another program, or of another version."""
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(UserError, match=RECORD):
        StudySettings.check().begin(tmp_path)
    assert (tmp_path / RECORD).read_text() == content


def test_a_strangers_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds thesis.txt and is not a repeated study"):
        StudySettings.check().begin(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

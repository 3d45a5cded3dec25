"""An item is filled only by facts that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_helpers import new_grid, only_light, plant

from evalsuite.report.guidelines.artefacts import Artefacts, Trial, gather
from evalsuite.report.guidelines.checklist import read_topics
from evalsuite.report.guidelines.fact import Fact
from evalsuite.report.guidelines.facts import FACTS
from evalsuite.report.guidelines.fill import FilledChecklist, FilledItem, fill
from evalsuite.report.guidelines.names import GUIDELINES, Guideline
from evalsuite.study.analysis import analyse


def item(found: FilledChecklist, number: str) -> FilledItem:
    return next(one for one in found.items if one.item.number == number)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Artefacts:
    """A study whose predictions are there, and whose images are not."""
    folder = tmp_path_factory.mktemp("planted") / "study"
    plant(folder, new_grid(), only_light)
    return gather(Trial("study", "study.json", analyse(folder, n_boot=100)), [])


@pytest.mark.parametrize("name", GUIDELINES)
def test_without_artefacts_everything_is_the_authors_and_is_named(name: Guideline) -> None:
    """Nothing is made up, and nothing is called not applicable for want of an artefact."""
    found = fill(name, Artefacts())
    assert {one.status for one in found.items} == {"author must write"}
    assert all(one.write and not one.facts and not one.reasons for one in found.items)
    assert found.sentence().startswith(f"0 of {len(found.items)} items filled from the artefacts (0%)")


def test_a_study_without_its_images_fills_what_its_plan_and_results_say(study: Artefacts) -> None:
    found = fill("claim2024", study)
    for number in ("6", "9", "22", "24", "25", "26", "29", "30", "37"):
        assert item(found, number).status == "filled", number
    assert "cannot be opened" in study.notes[0]
    for number in ("7", "12", "14", "19", "20", "32", "36", "38"):  # of images or a card, of which there are none
        assert item(found, number).status == "author must write", number


def test_a_filled_item_says_the_number_and_where_it_is_from(study: Artefacts) -> None:
    (fact,) = item(fill("claim2024", study), "37").facts
    assert fact.source == "study/study.json"
    assert "synthetic images for each real one" in fact.text


def test_what_does_not_apply_has_its_reason(study: Artefacts) -> None:
    found = item(fill("claim2024", study), "27")
    assert (found.status, found.write) == ("not applicable", ())
    assert "combine none" in found.reasons[0]
    assert item(fill("claim2024", study), "33").status == "author must write"  # no external test: a limit, to be said
    assert item(fill("stard-ai", study), "29").status == "not applicable"  # how an external set differs


def test_an_item_of_two_topics_is_filled_only_by_both(study: Artefacts) -> None:
    """TRIPOD+AI 23a: performance, of groups, and calibration, for which there is no card here."""
    found = item(fill("tripod-ai", study), "23a")
    assert found.status == "author must write"
    assert any("probabilities mean" in prompt for prompt in found.write)
    assert found.facts


def test_the_three_counts_add_up(study: Artefacts) -> None:
    for name in GUIDELINES:
        found = fill(name, study)
        parts = [found.count(status) for status in ("filled", "author must write", "not applicable")]
        assert sum(parts) == len(found.items)
        assert found.share_filled == parts[0] / len(found.items)
        assert all(bool(one.write) == (one.status == "author must write") for one in found.items)


def test_every_topic_without_one_of_its_facts_is_the_authors(study: Artefacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away each fact in turn: no item that needs it stays filled."""
    needs = {n: {i for i, t in read_topics().items() if n in t.filled_by} for n in FACTS}
    there: dict[str, Fact | None] = {name: fact(study) for name, fact in FACTS.items()}
    for gone in (name for name, fact in there.items() if fact is not None and needs[name]):
        with monkeypatch.context() as patch:
            patch.setitem(FACTS, gone, lambda found: None)
            for one in fill("claim2024", study).items:
                assert one.status != "filled" or not needs[gone] & set(one.item.topics), (gone, one.item.number)


def test_a_study_of_too_few_runs_gives_no_performance(tmp_path: Path) -> None:
    plant(tmp_path / "study", new_grid(seeds=2), only_light)
    found = gather(Trial("study", "study.json", analyse(tmp_path / "study", n_boot=100)), [])
    assert item(fill("claim2024", found), "37").status == "author must write"

"""The methods paragraph cites what was used, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from study_helpers import new_grid, only_light, plant

from evalsuite.report.guidelines.artefacts import Artefacts, Trial, gather
from evalsuite.report.guidelines.methods_text import SOLVERS, paragraph
from evalsuite.study.analysis import analyse
from shards import Provenance, Sample, ShardSetWriter, encode_image


def drawn(folder: Path, **settings: object) -> Path:
    """One synthetic image with these settings."""
    made = Provenance("a" * 64, "b" * 64, "c" * 64, ("real-1",))
    with ShardSetWriter(folder, "made", classes=["plaque"], provenance=made) as writer:
        image = encode_image(np.zeros((8, 8, 3), np.uint8), "png")
        facts = {"id": "one", "origin": "synthetic", "label": "plaque", "strategy": "text-to-image", **settings}
        writer.add(Sample.model_validate(facts), image, "png")
    return folder


def cited(found: Artefacts) -> set[str]:
    return {key for sentence in paragraph(found, ["claim2024"]) for key in sentence.cites}


@pytest.mark.parametrize("solver", ["ddim", "dpmsolver++:karras", "lcm", "unipc"])
def test_a_solver_is_cited_by_its_own_work(solver: str, tmp_path: Path) -> None:
    found = cited(gather(None, [drawn(tmp_path / "made", solver=solver, steps=4, guidance=1.0)]))
    own = SOLVERS[solver.partition(":")[0]]
    assert found & set(SOLVERS.values()) == {own}
    assert not found & {"ho2022guidance", "kynkaanniemi2024interval"}  # guidance 1 is none


def test_guidance_and_its_interval_are_cited_where_they_were_used(tmp_path: Path) -> None:
    made = drawn(tmp_path / "made", solver="ddim", steps=4, guidance=3.0, guidance_interval=(0.3, 5.0))
    assert {"ho2022guidance", "kynkaanniemi2024interval", "rombach2022latent"} <= cited(gather(None, [made]))


def test_images_of_nobody_knows_what_are_not_called_diffusion(tmp_path: Path) -> None:
    with ShardSetWriter(tmp_path / "made", "made", classes=["plaque"]) as writer:
        image = encode_image(np.zeros((8, 8, 3), np.uint8), "png")
        writer.add(Sample(id="one", origin="synthetic", label="plaque"), image, "png")
    found = gather(None, [tmp_path / "made"])
    assert cited(found) == {"tejani2024claim"}
    assert not any("diffusion" in sentence.text for sentence in paragraph(found, ["claim2024"]))


def test_several_seeds_are_a_bootstrap_and_not_tangos_interval(tmp_path: Path) -> None:
    plant(tmp_path / "study", new_grid(), only_light)
    found = gather(Trial("study", "study.json", analyse(tmp_path / "study", n_boot=100)), [])
    keys = cited(found)
    assert {"rao1988", "holm1979", "edwardes1995", "cubuk2020randaugment"} <= keys
    assert not keys & {"tango1998", "chardon1991", *SOLVERS.values()}


def test_what_chose_the_weights_is_said_as_it_was(tmp_path: Path) -> None:
    """A study may take a share of each arm's own images in place of the validation images."""
    plant(tmp_path / "study", new_grid(val_fraction=0.25), only_light)
    found = gather(Trial("study", "study.json", analyse(tmp_path / "study", n_boot=100)), [])
    said = " ".join(sentence.text for sentence in paragraph(found, ["claim2024"]))
    assert "least loss on 25 % of each arm's own real images" in said
    assert "validation images" not in said


def test_nothing_is_said_without_artefacts() -> None:
    (only,) = paragraph(Artefacts(), ["claim2024"])
    assert only.text == "This report was prepared along CLAIM, 2024 update"

"""`gen sample` with each family: its own steps are diffusers', and an image depends on its row alone."""

from __future__ import annotations

import numpy as np
import pytest
from family_pipelines import PIPELINES

import engines
from engines import Bundle, build
from engines.certificate import read_certificate
from gen.plan.plan import PlanRow
from gen.sampling.in_memory import sample_images
from gen.sampling.own_steps import own_steps

SIZE = 64


@pytest.fixture(scope="module", params=list(PIPELINES))
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = PIPELINES[request.param](tmp_path_factory.mktemp(request.param))
    out = tmp_path_factory.mktemp("bundle") / "bundle"
    return build(folder, out, backend="torch", rows=4, size=SIZE, prompts=["a nodule", ""], solve=own_steps)


def row(number: int, **settings: object) -> PlanRow:
    given = {"id": str(number), "class": "a", "prompt": "abc"[number % 3], "seed": number, "size": SIZE, "steps": 3}
    return PlanRow.model_validate({**given, "guidance": 1.0 + number % 3, **settings})


def test_its_images_are_those_of_diffusers(bundle: Bundle) -> None:
    certificate = read_certificate(bundle)
    assert certificate.own_steps
    assert certificate.images.psnr_worst >= 50


def test_an_image_does_not_depend_on_its_neighbours(bundle: Bundle) -> None:
    rows = [row(number, solver="euler") for number in range(5)]
    together = sample_images(engines.load(bundle.folder), rows)
    again = sample_images(engines.load(bundle.folder), rows[::-1])[::-1]
    assert np.array_equal(together, again)
    assert len({image.tobytes() for image in together}) == len(rows)


def test_guidance_changes_images_where_the_model_has_it(bundle: Bundle) -> None:
    engine = engines.load(bundle.folder)
    weak, strong = (sample_images(engine, [row(1, solver="euler", guidance=g)])[0] for g in (2.0, 6.0))
    assert np.array_equal(weak, strong) == (engine.spec.guidance == "none")

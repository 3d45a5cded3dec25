"""The record of a certificate of use: sealed, of one version, and of the settings and cells that were compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flips import flipped, some_bits
from use_helpers import SETTINGS, certificate

from dermforge.common import use_certificate
from dermforge.common.errors import UserError
from dermforge.common.use_certificate import USE, read_use_certificate, settings_of
from gen.plan.plan import PlanRow
from shards import Sample

ROW: dict[str, Any] = {"id": "x", "class": "macule", "group": "tan", "prompt": "p", "seed": 3, **SETTINGS}


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = certificate()
    (tmp_path / USE).write_bytes(made.content())
    assert read_use_certificate(tmp_path / USE) == (made, made.content())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.replace(b'"pass"', b'"fail"', 1), "is damaged"),
        (lambda content: b"{}", "does not end in its sha256"),
        (None, "no certificate of use at"),
    ],
)
def test_another_file_is_refused(change: Any, said: str, tmp_path: Path) -> None:
    if change:
        (tmp_path / USE).write_bytes(change(certificate().content()))
    with pytest.raises(UserError, match=said):
        read_use_certificate(tmp_path / USE)


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    from dermforge.common.sealed_file import sealed_json

    (tmp_path / USE).write_bytes(sealed_json(certificate().model_dump_json()[:-1] + ',\n"more": 1\n}'))
    with pytest.raises(UserError, match="no certificate of use of this version \\(more"):
        read_use_certificate(tmp_path / USE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"id": "y", "prompt": "another", "seed": 9}, ""),
        ({"base_steps": 0}, ""),
        ({"base_steps": 1}, "images drawn with base_steps 1 were not compared"),
        ({"steps": 2}, "images drawn with steps 2 were not compared"),
        ({"guidance_interval": (0.2, 5.0)}, "guidance_interval"),
        ({"class": "plaque"}, "images of plaque x tan x text-to-image were not compared"),
        ({"group": None}, "images of macule x text-to-image were not compared"),
    ],
)
def test_what_it_does_not_cover_is_said(change: dict[str, Any], said: str) -> None:
    found = certificate().uncovered([ROW, {**ROW, **change}])
    assert said in found
    assert bool(found) == bool(said)


def test_settings_that_drew_another_cell_are_not_covered() -> None:
    """One class in two steps and the others in four: no image of these was drawn in two."""
    made = certificate()
    student = made.student.model_copy(update={"settings": (SETTINGS, {**SETTINGS, "steps": 2})})
    cells = tuple(
        cell.model_copy(update={"settings": (0, 1) if cell.label == "ulcer" else (0,)}) for cell in made.cells
    )
    made = made.model_copy(update={"student": student, "cells": cells})
    assert not made.uncovered([ROW, {**ROW, "class": "ulcer"}, {**ROW, "class": "ulcer", "steps": 2}])
    said = "images of macule x tan x text-to-image drawn with steps 2 were not compared"
    assert made.uncovered([{**ROW, "steps": 2}]) == said


@pytest.mark.parametrize("place", [-1, 1])
def test_a_cell_of_settings_that_are_not_listed_is_refused(place: int, tmp_path: Path) -> None:
    made = certificate()
    cells = (made.cells[0].model_copy(update={"settings": (place,)}), *made.cells[1:])
    (tmp_path / USE).write_bytes(made.model_copy(update={"cells": cells}).content())
    with pytest.raises(UserError, match=rf"cells name settings \[{place}\]; the student has 1"):
        read_use_certificate(tmp_path / USE)


def test_a_plan_row_and_the_record_of_its_image_have_the_same_settings() -> None:
    """Else no certificate would cover any plan: a field that is new in one must be in the other, or be no setting."""
    fields = [set(kind.model_fields) - use_certificate._NO_SETTING for kind in (PlanRow, Sample)]
    assert fields[0] == fields[1]
    row = PlanRow.model_validate({k: v for k, v in ROW.items() if k != "strategy"})
    sample = Sample(origin="synthetic", **row.model_dump(by_alias=True))
    assert settings_of(row.model_dump()) == settings_of(sample.model_dump()) == SETTINGS


def test_no_flipped_bit_passes(tmp_path: Path) -> None:
    path = tmp_path / USE
    path.write_bytes(certificate().content())
    for bit in some_bits(path, 300):
        with flipped(path, bit), pytest.raises(UserError, match=USE):
            read_use_certificate(path)

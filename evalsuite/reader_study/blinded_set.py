"""The blinded set of a reader study: real and synthetic images, balanced over cells, in a seeded order."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from dermforge.common.atomic import write_whole
from dermforge.common.csv_cells import csv_bytes
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import opened_json, sealed_json
from evalsuite.images.features.extract import Preprocess
from evalsuite.images.image_data import ImageData, Track, describe, untracked
from evalsuite.images.tone.tone_table import requested_steps

STUDY, KEY, IMAGES, RESPONSES = "study.json", "key.csv", "images", "responses"
REALISM = ("surely synthetic", "probably synthetic", "cannot tell", "probably a photograph", "surely a photograph")


class BlindedSet(BaseModel):
    """What a reader may see: the items in order and the choices. Only the key says which items are real."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    seed: int
    size: int
    items: list[str]
    realism: list[str] = list(REALISM)
    diagnoses: list[str]
    groups: list[str]


@dataclass(frozen=True)
class SetDesign:
    """How images are chosen and shown."""

    size: int  # side of the shown images in pixels
    per_cell: int = 2  # most images of each side from a class x group cell
    seed: int = 0  # of choice and order


def make(
    real: ImageData, synthetic: ImageData, folder: Path, design: SetDesign, track: Track = untracked
) -> BlindedSet:
    """Write study.json, key.csv and images/ for readers.

    From every class x group cell that both sides have, equally many images of each side are taken. All images go
    through one resize and one codec and get new names, so that nothing but the picture differs.

    Raises
    ------
    UserError
        The folder already holds a study or other files, or no cell has images of both sides.
    """
    if (folder / STUDY).exists():
        raise UserError(f"{folder} already holds a study; choose another folder, or serve or analyse this one")
    claim(folder, "a reader study", [], [IMAGES, RESPONSES, KEY])
    rng, step = np.random.default_rng(design.seed), Preprocess(design.size)
    chosen = _choose(describe(real), describe(synthetic), design.per_cell, rng)
    chosen = chosen.iloc[rng.permutation(len(chosen))].reset_index(drop=True)
    chosen.insert(0, "item", [f"q{i + 1:04d}" for i in range(len(chosen))])
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    (folder / RESPONSES).mkdir(exist_ok=True)
    for origin, data in (("real", real), ("synthetic", synthetic)):
        names = chosen[chosen["origin"] == origin].set_index("id")["item"]
        rows = np.flatnonzero(data.rows["id"].isin(names.index).to_numpy())
        for sample, image in track(data.take(rows).images(), f"{origin} images for readers", len(rows)):
            stream = io.BytesIO()
            Image.fromarray(step(image)).save(stream, "PNG")
            write_whole(folder / IMAGES / f"{names[sample.id]}.png", stream.getvalue(), fsync=False)
    study = BlindedSet(
        seed=design.seed,
        size=design.size,
        items=list(chosen["item"]),
        diagnoses=sorted(set(chosen["class"])),
        groups=sorted(set(chosen["group"]), key=lambda group: (requested_steps(group) or (9, 9), group)),
    )
    write_whole(folder / KEY, csv_bytes(chosen[["item", "id", "origin", "class", "group"]]))
    write_whole(folder / STUDY, sealed_json(study.model_dump_json(indent=1)))
    return study


def _choose(real: pd.DataFrame, synthetic: pd.DataFrame, per_cell: int, rng: np.random.Generator) -> pd.DataFrame:
    sides = {"real": real, "synthetic": synthetic}
    sides = {origin: frame.assign(group=frame["group"].fillna("unknown")) for origin, frame in sides.items()}
    cells = [set(map(tuple, f[["class", "group"]].to_numpy())) for f in sides.values()]
    parts = []
    for cls, group in sorted(cells[0] & cells[1]):
        rows = {o: f[(f["class"] == cls) & (f["group"] == group)] for o, f in sides.items()}
        n = min(per_cell, *(len(part) for part in rows.values()))
        for origin, part in rows.items():
            taken = np.sort(rng.choice(len(part), n, replace=False))
            parts.append(part.iloc[taken][["id", "class", "group"]].assign(origin=origin))
    if not parts:
        raise UserError("no class and group has both real and synthetic images; there is nothing to compare")
    answers: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return answers


def open_study(folder: Path) -> BlindedSet:
    """Read and check a study."""
    file = folder / STUDY
    if not file.is_file():
        raise UserError(f"{folder}: no {STUDY}; make one with `evalsuite reader-study make` first")
    try:
        return BlindedSet.model_validate_json(opened_json(read_regular(file), file, "make it again"))
    except ValidationError as error:
        raise UserError(f"{file}: not a reader study ({error.errors()[0]['msg']}); make it again") from error

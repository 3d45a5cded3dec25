"""The blinded set: real and synthetic images, balanced over cells, in an order that a seed decides."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from dermforge.common.atomic import write_whole
from dermforge.common.console import progress
from dermforge.common.errors import UserError
from evalsuite.images.features.features import ImageData, Preprocess, describe

STUDY, KEY, IMAGES, RESPONSES = "study.json", "key.csv", "images", "responses"
REALISM = ("surely synthetic", "probably synthetic", "cannot tell", "probably a photograph", "surely a photograph")


class Study(BaseModel):
    """What a reader may see: the items in order and the choices. Which item is real stands in the key alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    seed: int
    size: int
    items: list[str]
    realism: list[str] = list(REALISM)
    diagnoses: list[str]
    groups: list[str]


def make(real: ImageData, synthetic: ImageData, folder: Path, *, per_cell: int, seed: int, size: int) -> Study:
    """Write study.json, key.csv and images/ for readers.

    From every class x group cell that both sides have, the same number of each is taken (at most `per_cell`).
    All images go through one resize and one codec and get new names, so that nothing but the picture differs.

    Raises
    ------
    UserError
        The folder already holds a study, or no cell has images of both sides.
    """
    if (folder / STUDY).exists():
        raise UserError(f"{folder} already holds a study; choose another folder, or serve or analyse this one")
    rng = np.random.default_rng(seed)
    chosen = _choose(describe(real), describe(synthetic), per_cell, rng)
    order = rng.permutation(len(chosen))
    chosen = chosen.iloc[order].reset_index(drop=True)
    chosen.insert(0, "item", [f"q{i + 1:04d}" for i in range(len(chosen))])
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    (folder / RESPONSES).mkdir(exist_ok=True)
    step = Preprocess(size, 95)
    with progress("images for readers", len(chosen)) as tick:
        for origin, data in (("real", real), ("synthetic", synthetic)):
            wanted = chosen[chosen["origin"] == origin].set_index("id")["item"].to_dict()
            for sample, image in data.images():
                if sample.id in wanted:
                    stream = io.BytesIO()
                    Image.fromarray(step(image)).save(stream, "PNG")
                    write_whole(folder / IMAGES / f"{wanted[sample.id]}.png", stream.getvalue(), fsync=False)
                    tick()
    study = Study(
        seed=seed,
        size=size,
        items=list(chosen["item"]),
        diagnoses=sorted(set(chosen["class"])),
        groups=list(dict.fromkeys(_ordered(set(chosen["group"])))),
    )
    write_whole(folder / KEY, chosen[["item", "id", "origin", "class", "group"]].to_csv(index=False).encode())
    write_whole(folder / STUDY, study.model_dump_json(indent=1).encode())
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
    return pd.concat(parts, ignore_index=True)


def _ordered(groups: set[str]) -> list[str]:
    from evalsuite.images.tone.tone_report import requested_steps

    return sorted(groups, key=lambda g: (requested_steps(g) or (9, 9), g))


def open_study(folder: Path) -> Study:
    """Read and check a study."""
    file = folder / STUDY
    if not file.is_file():
        raise UserError(f"{folder}: no {STUDY}; make one with `evalsuite reader-study make` first")
    try:
        return Study.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise UserError(f"{file}: not a reader study ({error.errors()[0]['msg']}); make it again") from error

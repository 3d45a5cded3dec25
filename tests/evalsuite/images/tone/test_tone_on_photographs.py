"""The measure against lesion masks, published values and renderings of known melanin (docs/validation.md)."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_helpers import DATA, SSYNTH
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from dermforge.common.skin_tone import srgb_to_lab
from evalsuite.images.image_data import ArrayImages
from evalsuite.images.tone.find_skin import find_skin
from evalsuite.images.tone.measure_ita import measure_ita
from evalsuite.images.tone.tone_report import measure_tone
from shards import Sample

#: Published for ISIC 2018 by FDA's DIDSR (public domain), files of the S-SYNTH release.
PUBLISHED = {
    "ISIC_0001769": 38.77,
    "ISIC_0003539": 36.22,
    "ISIC_0006671": 39.28,
    "ISIC_0007332": 45.07,
    "ISIC_0012099": 48.42,
    "ISIC_0012143": 29.60,
    "ISIC_0012191": 27.32,
    "ISIC_0012335": 49.88,
    "ISIC_0013082": 49.62,
    "ISIC_0014162": 50.25,
    "ISIC_0014302": 32.85,
    "ISIC_0014637": 46.34,
}


def _read(file: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(file).convert("RGB"))


def published_scale(lightness: pd.Series | float, b: pd.Series | float) -> NDArray[np.floating]:
    """The angle as it was published: of 8-bit CIELAB, where L* runs to 255 and 128 is added to b*."""
    return np.degrees(np.arctan((2.55 * np.asarray(lightness) - 50) / (np.asarray(b) + 128)))


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "dermamnist").is_dir(), reason="DermaMNIST is not here")
def test_dermamnist() -> None:
    """What is called measured is skin's; on the published values' scale ours agree with them, class by class."""
    rows = []
    with tarfile.open(DATA / "dermamnist" / "dermamnist.tar") as tar:
        for member in tar:
            if member.isfile() and member.name.removeprefix("./").startswith("train/"):
                content = tar.extractfile(member)
                assert content is not None
                found = measure_ita(np.asarray(Image.open(io.BytesIO(content.read())).convert("RGB")))
                rows.append((Path(member.name).parent.name, found.ita, found.lightness, found.b))
    table = pd.DataFrame(rows, columns=["class", "ita", "lightness", "b"])
    angles = table["ita"].dropna()
    print(len(table), len(angles) / len(table), angles.quantile([0.005, 0.05, 0.5, 0.95, 0.995]).to_dict())
    assert len(table) == 7007
    assert angles.between(0, 75).mean() >= 0.99
    assert 0.12 < len(angles) / len(table) < 0.18
    assert abs(angles.median() - 43.6) < 8
    tables = DATA / "tables"
    known = pd.read_csv(tables / "HAM10000_ita_didsr.csv").merge(
        pd.read_csv(tables / "HAM10000_metadata.csv"), left_on="image_ID", right_on="image_id"
    )
    ours = table.assign(angle=published_scale(table["lightness"], table["b"])).groupby("class")["angle"].median()
    apart = ours - known.groupby("dx")["ITA"].median()
    print(apart.round(2).to_dict())
    assert apart.abs().max() < 1


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "isic2017").is_dir(), reason="the ISIC images are not here")
def test_skin_agrees_with_the_lesion_masks_and_with_published_values() -> None:
    """The mean colour of what we call skin against the median outside the challenge's masks, in CIELAB units."""
    folder, away, apart = DATA / "isic2017", [], []
    for file in sorted((folder / "images").glob("*.jpg")):
        image = _read(file)
        mask = Image.open(folder / "masks" / f"{file.stem}_segmentation.png").convert("L")
        outside = np.asarray(mask.resize(image.shape[1::-1])) == 0
        skin = find_skin(image)
        colour = skin.lab[skin.bare].mean(0)
        away.append(np.linalg.norm(colour - np.median(srgb_to_lab(image / 255)[outside], axis=0)))
        if file.stem in PUBLISHED:
            apart.append(float(published_scale(colour[0], colour[2])) - PUBLISHED[file.stem])
    print(len(away), np.quantile(away, [0.5, 0.9, 1]), np.round(apart, 2))
    assert np.median(away) < 1
    assert np.quantile(away, 0.9) < 2.5
    assert len(apart) == len(PUBLISHED)
    assert np.abs(apart).max() < 2.5


@pytest.mark.slow
@pytest.mark.skipif(not SSYNTH.is_dir(), reason="the S-SYNTH renderings are not here")
def test_angle_falls_with_melanin_in_renderings_under_all_lights() -> None:
    """Order over all, and of the means of six bins of equal size."""
    table = pd.read_csv(SSYNTH / "metadata.csv")
    table["ita"] = [measure_ita(_read(SSYNTH / f)).ita for f in table["file"]]
    seen = table.dropna(subset=["ita"])
    assert len(seen) >= 40
    assert spearmanr(seen["melanin_fraction"], seen["ita"])[0] <= -0.7
    bins = seen.groupby(pd.qcut(seen["melanin_fraction"], 6), observed=True)["ita"].mean()
    assert (np.diff(bins) < 0).all()


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "pad-ufes-20").is_dir(), reason="the PAD-UFES-20 images are not here")
def test_a_handful_of_typed_photographs_cannot_be_judged() -> None:
    folder = DATA / "pad-ufes-20"
    types = pd.read_csv(folder / "metadata.csv").set_index("img_id")["fitspatrick"].dropna()
    files = [f for f in sorted((folder / "images").iterdir()) if f.name in types.index]
    samples = [Sample(id=f.stem, origin="real", label="x", group=str(int(types[f.name]))) for f in files]
    report = measure_tone(images=ArrayImages(samples, [_read(f) for f in files]))
    print(report.sentence)
    assert report.status == "unknown"
    assert "cannot be determined" in report.sentence

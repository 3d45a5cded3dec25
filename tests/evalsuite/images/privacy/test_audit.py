"""Planted copies are found and unseen real images are not: the positive and the negative control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.features.extractors import random_conv
from evalsuite.images.features.features import ArrayImages
from evalsuite.images.privacy import calibrate as calibration
from evalsuite.images.privacy.arrays import audit_arrays
from evalsuite.images.privacy.audit import UNCLEARED, audit_copies, privacy_section, verdict
from evalsuite.images.privacy.planted_copies import KINDS
from gen.phantoms import CLASSES, draw
from shards.format.schema import Sample

SSYNTH = Path(__file__).parents[5] / "shared" / "data" / "ssynth"
Array = np.ndarray


def phantoms(n: int, start: int) -> list[Array]:
    return [draw(CLASSES[i % 6], TONE_GROUPS[i // 6 % 6], start + i).image for i in range(n)]


def renderings() -> list[Array]:
    """Four crops of each S-SYNTH rendering, in a fixed random order."""
    if not SSYNTH.is_dir():
        pytest.skip("the S-SYNTH renderings are not here")
    crops = []
    for file in sorted(SSYNTH.glob("*.jpg")):
        image = np.asarray(Image.open(file).convert("RGB"))
        half = image.shape[0] // 2
        crops += [image[y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
    return [crops[i] for i in np.random.default_rng(0).permutation(len(crops))]


def data(arrays: list[Array], word: str, **fields: str) -> ArrayImages:
    samples = [
        Sample(id=f"{word}-{i}", origin="synthetic", label=CLASSES[i % 6], group=TONE_GROUPS[i % 6], **fields)
        for i in range(len(arrays))
    ]
    return ArrayImages(samples, [np.ascontiguousarray(a) for a in arrays])


@pytest.mark.parametrize("source", ["phantoms", "renderings"])
def test_planted_copies_are_found_without_false_alarms(source: str, tmp_path: Path) -> None:
    """95 % of each kind of copy found, at most 1 % of fresh real images called copies."""
    pool = phantoms(100, 0) + phantoms(100, 10_000) + phantoms(100, 20_000) if source == "phantoms" else renderings()
    cut = (100, 200) if source == "phantoms" else (80, 140)
    train, unseen, fresh = pool[: cut[0]], pool[cut[0] : cut[1]], pool[cut[1] :]
    rng = np.random.default_rng(0)
    planted, kinds, origins = [], [], []
    for kind, plant in KINDS.items():
        for i in range(0, len(train), len(train) // 40):
            planted.append(plant(train[i], rng))
            kinds.append(kind)
            origins.append(f"train-{i}")
    audit = audit_copies(
        data(train, "train"), data(planted + fresh, "synthetic"), tmp_path, test=data(unseen, "test"), control=1
    )
    found = audit.table["copy"].to_numpy()
    by_kind = {k: found[: len(kinds)][np.array(kinds) == k].mean() for k in KINDS}
    assert min(by_kind.values()) >= 0.95, by_kind
    assert found[len(kinds) :].mean() <= 0.01
    assert (audit.table["nearest"][: len(kinds)] == origins).mean() >= 0.97  # and the right one is shown
    assert set(audit.quarantine) == {f"synthetic-{i}" for i in np.flatnonzero(found)}


def test_a_clean_set_passes_and_one_with_copies_fails(tmp_path: Path) -> None:
    train, test = data(phantoms(60, 0), "train"), data(phantoms(100, 10_000), "test")
    clean = audit_copies(train, data(phantoms(36, 20_000), "s"), tmp_path, test=test, control=2)
    assert verdict(clean)[1] == "good"
    half = data(phantoms(18, 20_000) + phantoms(18, 0), "s")
    copied = audit_copies(train, half, tmp_path, test=test, control=2)
    assert verdict(copied)[1] != "good"
    overall = copied.rates[(copied.rates["family"] == "overall")].iloc[0]
    assert overall["low"] < 0.5 < overall["high"]
    part = privacy_section(copied, train, half)
    assert part.status == "bad"
    assert len(part.shown["privacy"][-1].jpegs) == 24  # type: ignore[union-attr]


def test_without_a_test_set_training_images_calibrate_and_it_is_said(tmp_path: Path) -> None:
    train = data(phantoms(60, 0), "train")
    audit = audit_copies(train, data(phantoms(12, 0), "s"), tmp_path, control=1)
    assert audit.table["copy"].all()
    assert "no test set" in audit.calibration.sentence()
    assert audit.calibration.false_alarms == pytest.approx(1 / 61)  # not the 1 % that was asked for


@pytest.mark.parametrize("seen", [False, True])
def test_inpainting_is_judged_by_the_part_drawn_anew(tmp_path: Path, seen: bool) -> None:
    """The kept border is the parent's by design; a centre that repeats the parent's or, mirrored, another's is not."""
    train, others = phantoms(60, 0), phantoms(10, 30_000)

    def pasted(i: int, centre: Array) -> Array:
        image = train[i].copy()
        image[16:48, 16:48] = centre[16:48, 16:48]
        return image

    rng = np.random.default_rng(0)
    honest = [pasted(i, others[i]) for i in range(10)]
    parents = [KINDS["recompressed"](train[i], rng) for i in range(10)]
    foreign = [KINDS["recompressed"](pasted(i, train[59 - i][:, ::-1]), rng) for i in range(10)]
    samples = [
        Sample(
            id=f"s-{i}", origin="synthetic", label="plaque", strategy="inpaint", mask="centre", parent=f"train-{i % 10}"
        )
        for i in range(30)
    ]
    unseen = data(phantoms(100, 10_000), "test") if seen else None
    made = ArrayImages(samples, honest + parents + foreign)
    audit = audit_copies(data(train, "train"), made, tmp_path, test=unseen, control=1)
    assert audit.table["copy"].tolist() == [False] * 10 + [True] * 20
    assert audit.table["nearest"][10:].tolist() == [f"train-{i}" for i in (*range(10), *range(59, 49, -1))]
    assert set(audit.rates["how"]) == {"part drawn anew"}
    assert audit.table["kept"].tolist() == [0.75] * 30
    assert privacy_section(audit, data(train, "train"), made).status == "bad"


def test_outpainting_is_judged_by_all_but_the_centre(tmp_path: Path) -> None:
    """There the lesion is the photograph's by design, and the skin around it is what may not be."""
    train, others, unseen = phantoms(60, 0), phantoms(20, 30_000), phantoms(100, 10_000)
    honest = [image.copy() for image in others]
    copied = [KINDS["noised"](image, np.random.default_rng(0)) for image in train[:10]]
    for image, parent in zip(honest, train, strict=False):
        image[16:48, 16:48] = parent[16:48, 16:48]
    samples = [
        Sample(
            id=f"s-{i}",
            origin="synthetic",
            label="plaque",
            strategy="outpaint",
            mask="centre",
            parent=f"train-{i % 20}",
        )
        for i in range(30)
    ]
    audit = audit_copies(
        data(train, "train"), ArrayImages(samples, honest + copied), tmp_path, control=1, test=data(unseen, "test")
    )
    assert audit.table["copy"][20:].all()
    assert audit.table["copy"][:20].sum() <= 1
    assert audit.table["kept"].tolist() == [0.25] * 30
    assert verdict(audit)[1] == "bad"
    cleared = replace(audit, table=audit.table[:20].assign(copy=False))
    assert verdict(cleared)[1] == "unknown"
    assert UNCLEARED in verdict(cleared)[0]


def test_an_inpainted_image_without_a_change_is_the_photograph(tmp_path: Path) -> None:
    """Where the mask's word fixes no place, what was drawn anew is measured; nothing drawn anew is a copy."""
    train = phantoms(40, 0)
    sample = Sample(id="s-0", origin="synthetic", label="plaque", strategy="inpaint", mask="lesion", parent="train-7")
    audit = audit_copies(data(train, "train"), ArrayImages([sample], [train[7]]), tmp_path, control=1)
    row = audit.table.iloc[0]
    assert (row["copy"], row["kept"], row["nearest"]) == (True, 1.0, "train-7")


def test_unchanged_photographs_do_not_hide_copies(tmp_path: Path) -> None:
    """An empty part is like any image, so it sets no threshold for the parts that were drawn anew."""
    train, rng = phantoms(40, 0), np.random.default_rng(0)
    copied = [train[i].copy() for i in range(5)]
    for i, image in enumerate(copied):
        image[16:48, 16:48] = KINDS["noised"](train[39 - i], rng)[16:48, 16:48]
    samples = [
        Sample(
            id=f"s-{i}",
            origin="synthetic",
            label="plaque",
            strategy="inpaint",
            parent=f"train-{i % 5}",
            mask="centre" if i < 5 else "lesion",
        )
        for i in range(10)
    ]
    audit = audit_copies(data(train, "train"), ArrayImages(samples, copied + train[:5]), tmp_path, control=1)
    assert audit.table["copy"].all()
    assert audit.table["nearest"].tolist() == [f"train-{i}" for i in (*range(39, 34, -1), *range(5))]


def test_a_feature_space_can_be_added_by_name(tmp_path: Path) -> None:
    train, test = data(phantoms(40, 0), "train"), data(phantoms(40, 10_000), "test")
    audit = audit_copies(train, data(phantoms(6, 0), "s"), tmp_path, test=test, control=1, extractors=[random_conv()])
    assert audit.table["cosine[random-conv-seed0]"].min() > 0.999
    for nearest in ("nearest", "nearest_phash", "nearest_cosine[random-conv-seed0]"):
        assert audit.table[nearest].tolist() == [f"train-{i}" for i in range(6)]
    assert audit.table["copy"].all()


def test_test_images_from_the_training_set_are_refused(tmp_path: Path) -> None:
    train = data(phantoms(30, 0), "train")
    with pytest.raises(UserError, match="cannot calibrate"):
        audit_copies(train, train, tmp_path, test=data(phantoms(30, 0), "test"))


def test_arrays_give_a_calibrated_verdict_with_its_controls() -> None:
    """What other code calls: copies are counted and located, the planted ones and the promise are told."""
    train, test, fresh = (np.stack(phantoms(n, start)) for n, start in ((60, 0), (300, 10_000), (24, 20_000)))
    found = audit_arrays(train, np.concatenate([fresh, train[:6, :, ::-1]]), test, control=4)
    assert (found.copies, found.n, found.status) == (6, 30, "bad")
    assert found.flagged.tolist() == list(range(24, 30))
    assert found.nearest[24:].tolist() == list(range(6))
    assert (found.score[24:] > found.threshold).all()
    assert found.control.set_index("kind").loc["all", ["n", "found"]].tolist() == [20, 20]
    assert found.measured_false_alarms.low < found.false_alarms < found.measured_false_alarms.high < 0.04  # 1 % of 300
    assert audit_arrays(train, fresh, test, control=4).status == "good"


def test_an_audit_that_misses_planted_copies_says_that_it_proves_nothing() -> None:
    """Unseen images as near to the training set as copies are leave no room for a threshold."""
    rng = np.random.default_rng(0)
    train, fresh = np.stack(phantoms(60, 0)), np.stack(phantoms(12, 20_000))
    near = np.clip(train + rng.normal(0, 1, train.shape), 0, 255).astype(np.uint8)
    found = audit_arrays(train, fresh, near, control=4)
    assert found.status == "unknown"
    assert found.control.iloc[0]["rate"] < 0.95
    assert "Too few planted copies" in found.sentence


@pytest.mark.parametrize(
    "bad", [np.zeros((30, 64, 64, 3)), np.zeros((30, 64, 64), np.uint8), np.zeros((0, 64, 64, 3), np.uint8)]
)
def test_arrays_that_are_no_images_are_refused(bad: Array) -> None:
    with pytest.raises(UserError, match=r"expected uint8 \[n, h, w, 3\]"):
        audit_arrays(np.stack(phantoms(6, 0)), np.stack(phantoms(6, 9)), bad)


def test_false_alarms_are_measured_on_images_that_set_no_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image is judged once, by a threshold of all folds but its own: else the audit would flatter itself."""
    unseen = pd.DataFrame({"structure": np.random.default_rng(0).normal(size=100)})
    fitted: list[set[int]] = []
    real = calibration.calibrate

    def spy(rows: pd.DataFrame, *others: Any) -> calibration.Calibration:
        fitted.append(set(rows.index))
        return real(rows, *others)

    monkeypatch.setattr(calibration, "calibrate", spy)
    alarms = calibration.measured_alarms(unseen, ("structure",), 0.05)
    assert [len(rows) for rows in fitted] == [80] * 5
    assert sorted(i for rows in fitted for i in set(unseen.index) - rows) == list(range(100))
    assert alarms.n == 100

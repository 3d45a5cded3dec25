"""The filter drops what was planted, keeps its promise on real images, and says when one group loses more."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.commands.filter import filter_images
from evalsuite.fairness.predictions import Predictions, from_frame
from evalsuite.images.features.extractors import Extractor
from evalsuite.images.features.features import ArrayImages, Preprocess, extract
from evalsuite.images.filter import filter_trial
from evalsuite.images.filter.rules import (
    apply,
    filter_section,
    intactness,
    recognition,
    rejection_rates,
    thresholds_from,
    typicality,
    unequal_groups,
)
from evalsuite.training.recipe import make_recipe
from gen.phantoms import CLASSES, draw
from shards import Sample, ShardSetWriter, encode_image, open_data


def judged(n: int, groups: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"s{i}" for i in range(n)],
            "class": ["a", "b"] * (n // 2),
            "group": [f"g{i % groups}" for i in range(n)],
            "strategy": "text-to-image",
        }
    )


@given(st.floats(0.01, 0.3), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_thresholds_drop_no_more_real_images_than_stated(rejection: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = {name: {f"r{i}": float(v) for i, v in enumerate(rng.normal(size=200))} for name in ("recognised", "typical")}
    cuts, rate = thresholds_from(real, rejection)
    frame = pd.DataFrame(real)
    assert (frame < pd.Series(cuts)).any(axis=1).mean() == pytest.approx(rate)
    assert rejection / 2 - 0.02 <= rate <= rejection


def test_too_few_real_images_are_refused() -> None:
    with pytest.raises(UserError, match="at least 20"):
        thresholds_from({"typical": {"a": 1.0}}, 0.05)


def test_a_filter_that_deletes_dark_skin_is_named() -> None:
    frame = judged(300)
    rng = np.random.default_rng(0)
    scores = {"typical": {r.id: rng.normal() - (1.5 if r.group == "g2" else 0) for r in frame.itertuples()}}
    done = apply(frame, scores, {"typical": -1.5}, 0.05)
    assert len(done.warnings) == 1
    assert "group g2" in done.warnings[0]
    assert filter_section(done).status == "warn"
    row = done.rates.set_index("cell").loc["g2"]
    assert row["low"] < 0.5 < row["high"]


def test_a_filter_stricter_on_real_dark_skin_is_named_too() -> None:
    """Real images of one skin type that fail more often mean that the rule, not the generator, is at fault."""
    frame, rng = judged(300), np.random.default_rng(0)
    scores = {"typical": {r.id: rng.normal() for r in frame.itertuples()}}
    real = frame.assign(kept=(frame["group"] != "g1") | (rng.random(300) > 0.4))
    done = apply(frame, scores, {"typical": -1.5}, 0.05, real=real)
    assert len(done.warnings) == 1
    assert "real images of group g1" in done.warnings[0]
    row = done.rates.set_index("cell").loc["g1"]
    assert row["real_low"] < 0.4 < row["real_high"]


def predictions_of(right: np.ndarray, groups: list[str]) -> Predictions:
    """Two classes; an item is right or wrong as told."""
    n = len(right)
    label = np.array(["a", "b"])[np.arange(n) % 2]
    says_a = (label == "a") == right
    frame = pd.DataFrame(
        {
            "id": [f"t{i}" for i in range(n)],
            "label": label,
            "prob_a": says_a * 1.0,
            "prob_b": 1.0 - says_a,
            "group": groups,
        }
    )
    return from_frame(frame)


def test_a_filter_is_judged_by_the_paired_difference_in_each_group() -> None:
    """Planted: the filter helps light skin by 20 points and hurts dark skin by 20."""
    rng, groups = np.random.default_rng(0), ["light", "dark"] * 300
    better = np.array([0.2 if g == "light" else -0.2 for g in groups])
    tables = {
        side: [predictions_of(rng.random(600) < 0.7 + (better if side == "with" else 0), groups) for _ in range(3)]
        for side in ("without", "with")
    }
    table = filter_trial.compare(tables, 300)
    verdicts = dict(zip(table["group"], table["verdict"], strict=True))
    assert (verdicts["light"], verdicts["dark"]) == ("helps", "hurts")
    found = table.set_index("group")["difference"]
    assert found["light"].low < 0.2 < found["light"].high
    assert found["dark"].low < -0.2 < found["dark"].high
    part = filter_trial.trial_section(filter_trial.Trial(table, 16, 5.0, 3))
    assert part.status == "bad"
    assert "hurts dark" in part.verdict
    same = filter_trial.compare(dict.fromkeys(tables, tables["with"]), 300)
    assert set(same["verdict"]) == {"no difference"}


def test_the_trial_trains_both_sides_on_equally_many_images(tmp_path: Path) -> None:
    """What differs is which images were drawn, not how many; a class without a kept image is refused."""
    for split, start in (("train", 0), ("validation", 100), ("test", 200)):
        write(tmp_path / "real" / split, start, 1, "phantom", split)
    write(tmp_path / "made", 300, 2, "synthetic", None)
    ids = list(open_data(tmp_path / "made").rows["id"])
    recipe = make_recipe(ratio=9.0, steps=2, batch=12, evaluate_every=2)
    trial = filter_trial.conduct(
        tmp_path / "real",
        tmp_path / "made",
        ids[::2],
        tmp_path / "out",
        n_real=2,
        recipe=recipe,
        seeds=1,
        n_boot=50,
        workers=1,
    )
    assert trial.ratio == 3.0  # 36 kept of 6 classes allow 6 for 2 real ones
    results = [json.loads(f.read_text()) for f in sorted((tmp_path / "out").rglob("result.json"))]
    assert [r["synthetic"] for r in results] == [36, 36]
    assert results[0]["digest"] != results[1]["digest"]
    assert trial.table["group"].iloc[0] == "all"
    with pytest.raises(UserError, match="keeps no image of"):
        filter_trial.conduct(
            tmp_path / "real", tmp_path / "made", ids[:3], tmp_path / "none", n_real=2, recipe=recipe, seeds=1
        )


def test_the_trial_takes_all_real_images_where_classes_are_unequal(tmp_path: Path) -> None:
    """A generator that was tuned on all of them is refused beside fewer, and no clinic has as many of each class."""
    for split, start in (("train", 0), ("validation", 100), ("test", 200)):
        write(tmp_path / "real" / split, start, 1, "phantom", split, of_the_first=2)
    write(tmp_path / "made", 300, 2, "synthetic", None)
    ids = list(open_data(tmp_path / "made").rows["id"])
    trial = filter_trial.conduct(
        tmp_path / "real",
        tmp_path / "made",
        ids,
        tmp_path / "out",
        n_real=0,
        seeds=1,
        recipe=make_recipe(ratio=9.0, steps=2, batch=12, evaluate_every=2),
        n_boot=50,
        workers=1,
    )
    assert trial.ratio == 1.714  # 12 of a class for 42 real ones of 6 classes
    assert filter_trial.trial_section(trial).verdict.startswith("With all real images, 1.714 synthetic ones")


def write(
    folder: Path, start: int, per_cell: int, origin: str, split: str | None, of_the_first: int | None = None
) -> None:
    """Phantom shards of every cell; another number of the first class if asked for."""
    with ShardSetWriter(folder, "p", classes=CLASSES, fsync=False) as writer:
        for c, cls in enumerate(CLASSES):
            for g, group in enumerate(TONE_GROUPS):
                for i in range(of_the_first or per_cell if c == 0 else per_cell):
                    image = encode_image(draw(cls, group, start + i).image, "png", 0)
                    writer.add(
                        Sample(id=f"{origin}-{start}-{c}{g}{i}", origin=origin, label=cls, group=group, split=split),
                        image,
                        "png",
                    )


def test_one_class_cannot_be_recognised(tmp_path: Path) -> None:
    """In one line, not scikit-learn's traceback."""
    samples = [Sample(id=f"s{i}", origin="real", label="a") for i in range(30)]
    data = ArrayImages(samples, [np.full((8, 8, 3), i, np.uint8) for i in range(30)])
    means = Extractor("means", "means", lambda x: x.reshape(len(x), -1, 3).mean(1).astype(np.float32))
    features = extract(data, means, Preprocess(8, None), tmp_path)
    with pytest.raises(UserError, match="two classes"):
        recognition(features, features)


def test_an_even_filter_raises_no_warning() -> None:
    """Holm's correction: at most one false warning in twenty random filters."""
    alarms = 0
    for seed in range(20):
        frame = judged(300).assign(kept=np.random.default_rng(seed).random(300) > 0.2)
        alarms += bool(unequal_groups(frame))
    assert alarms <= 2


def test_a_burnt_out_image_is_not_intact_however_much_it_varies() -> None:
    """Half white and half black has the largest spread that there is, and shows nothing."""
    burnt = np.zeros((32, 32, 3), np.uint8)
    burnt[:16] = 255
    skin = np.random.default_rng(0).normal(170, 20, (32, 32, 3)).clip(2, 250).astype(np.uint8)
    half = np.where(burnt == 255, burnt, skin)
    names = ["burnt", "half", "skin"]
    samples = [Sample(id=name, origin="synthetic", label="a") for name in names]
    scores = intactness(ArrayImages(samples, [burnt, half, skin]))
    assert scores["burnt"] == 0
    assert scores["half"] == pytest.approx(half.mean(-1).std() / 2)
    assert scores["skin"] == pytest.approx(skin.mean(-1).std())


def test_one_group_of_many_is_judged_by_what_chance_does_to_many() -> None:
    """Alone it would be beyond chance at 5 %; among five, the unluckiest one often is (Holm 1979)."""
    frame = judged(200, groups=5)
    place = frame.groupby("group").cumcount()
    lost = frame.assign(kept=place >= np.where(frame["group"] == "g0", 12, 6))
    counts = [[12, 28], [24, 136]]
    assert 0.05 / 5 < fisher_exact(counts, alternative="greater")[1] < 0.05
    assert unequal_groups(lost) == []
    beyond = frame.assign(kept=place >= np.where(frame["group"] == "g0", 18, 6))
    assert len(unequal_groups(beyond)) == 1
    assert "45% (31% to 60%) of group g0 and 15% of the others" in unequal_groups(beyond)[0]


def test_keeping_the_balance_drops_the_worst_of_fuller_cells() -> None:
    frame = judged(240)
    rng = np.random.default_rng(0)
    scores = {"typical": {r.id: rng.normal() - (1.0 if r.group == "g1" else 0) for r in frame.itertuples()}}
    done = apply(frame, scores, {"typical": -1.0}, 0.05, keep_balance=True)
    shares = done.table.groupby(["class", "group"])["kept"].mean()
    assert shares.max() - shares.min() < 0.03
    kept = done.table[done.table["kept"]]
    assert kept["typical"].min() >= -1.0
    assert done.kept == sorted(kept["id"])
    for _, cell in done.table.groupby(["class", "group"]):
        dropped = cell[cell["reasons"] == "balance"]
        assert dropped["typical"].max() < cell[cell["kept"]]["typical"].min() or dropped.empty
    assert (done.table["reasons"] == "balance").sum() > 10


def test_broken_images_and_wrong_classes_score_low(tmp_path: Path) -> None:
    """White squares as one class, black ones as the other: a wrong label, noise and a constant image stand out."""
    rng = np.random.default_rng(0)

    def image(label: str) -> np.ndarray:
        base = 170 if label == "a" else 80
        return np.clip(rng.normal(base, 20, (32, 32, 3)), 2, 250).astype(np.uint8)

    def data(labels: list[str], word: str) -> ArrayImages:
        samples = [Sample(id=f"{word}{i}", origin="real", label=lab) for i, lab in enumerate(labels)]
        return ArrayImages(samples, [image(lab) for lab in labels])

    means = Extractor("means", "means", lambda x: x.reshape(len(x), -1, 3).mean(1).astype(np.float32) / 100)
    train = extract(data(["a", "b"] * 30, "t"), means, Preprocess(32, None), tmp_path)
    wrong = data(["a", "b"], "w")
    wrong = ArrayImages(wrong.samples, [wrong.arrays[1], wrong.arrays[1]])  # the first shows b and says a
    probed = extract(wrong, means, Preprocess(32, None), tmp_path)
    seen, near = recognition(train, probed), typicality(train, probed)
    assert seen["w0"] < 0.2 < 0.8 < seen["w1"]
    assert near["w0"] < near["w1"]
    flat = ArrayImages(
        [Sample(id=i, origin="synthetic", label="a") for i in ("flat", "white", "fine")],
        [np.full((32, 32, 3), 120, np.uint8), np.full((32, 32, 3), 255, np.uint8), draw("macule", "tan", 0).image],
    )
    intact = intactness(flat)
    assert intact["flat"] == intact["white"] == 0
    assert intact["fine"] > 5


def test_images_of_one_photograph_count_as_one_when_groups_are_compared() -> None:
    """Ten renderings of each photograph fail together: three unlucky photographs are no unfair filter."""
    frame = judged(300).assign(parent=[f"photo-{i // 30}-{i % 3}" for i in range(300)])  # 30, each of one group
    lost = frame["parent"].isin([f"photo-{k}-2" for k in range(3)])  # 30 of 100 images of g2, none of the others
    assert len(unequal_groups(frame.assign(kept=~lost, parent=None))) == 1
    assert unequal_groups(frame.assign(kept=~lost)) == []
    row = {
        of: rejection_rates(frame.assign(kept=~lost, parent=frame["parent"] if of == "photographs" else None))
        .set_index("cell")
        .loc["g2"]
        for of in ("images", "photographs")
    }
    assert row["images"]["rate"] == row["photographs"]["rate"] == 0.3
    assert row["photographs"]["high"] - row["photographs"]["low"] > 2 * (row["images"]["high"] - row["images"]["low"])


def test_an_image_of_another_tone_than_asked_is_dropped_for_its_tone(tmp_path: Path) -> None:
    """The whole command: four images say light and are drawn dark. They are lost for that, and nothing else is."""
    write(tmp_path / "train", 0, 3, "real", None)
    write(tmp_path / "validation", 1000, 3, "real", None)
    with ShardSetWriter(tmp_path / "made", "p", classes=CLASSES, fsync=False) as writer:
        for i in range(24):
            shown = "dark" if i < 4 else "light"
            image = encode_image(draw("plaque", shown, 2000 + i).image, "png", 0)
            writer.add(Sample(id=f"s{i:02d}", origin="synthetic", label="plaque", group="light"), image, "png")
    filter_images(
        tmp_path / "made",
        tmp_path / "train",
        tmp_path / "validation",
        tmp_path / "out",
        rejection=0.05,
        extractor="colour-structure",
        as_json=True,
    )
    found = pd.read_parquet(tmp_path / "out" / "filter.parquet").set_index("id")
    off = found["reasons"].str.contains("on_tone")
    assert off.index[off].tolist() == ["s00", "s01", "s02", "s03"]
    assert not found.loc[off, "kept"].any()
    assert (found.loc[off, "on_tone"] < -50).all()  # degrees outside the range asked for
    part = json.loads((tmp_path / "out" / "section.json").read_text())
    assert ["on_tone: not of the requested skin tone", "4"] in part["shown"]["utility"][0]["rows"]

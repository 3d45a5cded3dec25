"""`evalsuite filter` keeps what passes, with scores and provenance, and is itself judged."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from image_helpers import write_shards
from training_helpers import TINY

from dermforge.common.errors import UserError
from evalsuite.commands.filter import filter_images
from gen.phantoms import CLASSES, draw
from shards import Provenance, Sample, ShardSet, ShardSetWriter, encode_image, write_shard
from shards.commands.change import select


def test_filter_keeps_scores_in_the_sidecars(sets: dict[str, Path], tmp_path: Path) -> None:
    first = ShardSet.open(sets["synthetic"]).rows["id"].iloc[0]
    (tmp_path / "quarantine.txt").write_text(f"{first}\n")
    filter_images(
        sets["synthetic"],
        sets["train"],
        sets["validation"],
        tmp_path / "out",
        tmp_path / "kept",
        0.1,
        tmp_path / "quarantine.txt",
        "colour-structure",
        as_json=True,
    )
    kept = (tmp_path / "out" / "kept.txt").read_text().split()
    assert first not in kept
    shards = ShardSet.open(tmp_path / "kept")
    assert sorted(shards.rows["id"]) == kept
    assert {"recognised", "typical", "intact", "on_tone", "novel"} <= set(shards.rows["scores"].iloc[0])
    assert 0 < shards.where(min_score={"recognised": 0.5}).n <= shards.n
    sample, _ = next(shards.images())
    assert sample.scores == shards.rows["scores"].iloc[0]
    rates: Any = pd.read_csv(tmp_path / "out" / "rates.csv").set_index(["family", "cell"])
    assert rates.at[("overall", "all"), "real_rate"] <= 0.1
    assert rates.loc["group", "real_n"].tolist() == [12] * 6


def test_scores_go_into_the_sidecars_of_all_images(sets: dict[str, Path], tmp_path: Path) -> None:
    """Who downloads can choose before any image is read, also those that this filter would drop."""
    filter_images(
        sets["synthetic"],
        sets["train"],
        sets["validation"],
        tmp_path / "out",
        rejection=0.1,
        extractor="colour-structure",
        as_json=True,
    )
    select(str(sets["synthetic"]), str(tmp_path / "scored"), scores=tmp_path / "out" / "scores.parquet")
    shards = ShardSet.open(tmp_path / "scored")
    assert shards.n == 72
    thresholds = json.loads((tmp_path / "out" / "filter.json").read_text())["thresholds"]
    kept = (tmp_path / "out" / "kept.txt").read_text().split()
    chosen = shards.where(min_score={n: v - 1e-6 for n, v in thresholds.items()}).rows["id"]
    assert sorted(chosen) == kept


def test_an_image_of_another_tone_than_asked_is_dropped_for_its_tone(tmp_path: Path) -> None:
    """The whole command: four images say light and are drawn dark. They are lost for that, and nothing else is."""
    write_shards(tmp_path / "train", 0, 3, "real", None)
    write_shards(tmp_path / "validation", 1000, 3, "real", None)
    with ShardSetWriter(tmp_path / "made", "p", classes=CLASSES) as writer:
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


def test_a_filter_of_inpainted_images_is_judged(tmp_path: Path) -> None:
    """An arm of few real images may use their own children only: the ratio is what those allow, and not a refusal."""
    for split, start in (("train", 0), ("validation", 1000), ("test", 1100)):
        write_shards(tmp_path / "real" / split, start, 1, "real")
    with ShardSetWriter(tmp_path / "made", "p", classes=CLASSES) as writer:
        for sample, image in ShardSet.open(tmp_path / "real" / "train").images():
            for i in range(3):
                child = image.copy()
                child[16:48, 16:48] = draw(sample.label, sample.group or "", 2000 + i).image[16:48, 16:48]
                made = Sample(
                    id=f"{sample.id}-{i}",
                    origin="synthetic",
                    label=sample.label,
                    group=sample.group,
                    strategy="inpaint",
                    mask="centre",
                    parent=sample.id,
                )
                writer.add(made, encode_image(child, "png", 0), "png")
    filter_images(
        tmp_path / "made",
        tmp_path / "real" / "train",
        tmp_path / "real" / "validation",
        tmp_path / "out",
        rejection=0.0,
        extractor="colour-structure",
        judge_on=tmp_path / "real",
        n_real=2,
        ratio=9.0,
        seeds=1,
        model=TINY,
        weights="scratch",
        size=32,
        steps=2,
        as_json=True,
    )
    kept = set((tmp_path / "out" / "kept.txt").read_text().split())
    trial = json.loads((tmp_path / "out" / "trial" / "trial.json").read_text())
    results = [json.loads(f.read_text()) for f in sorted((tmp_path / "out" / "trial").rglob("result.json"))]
    assert 0 < trial["ratio"] <= 3  # three children each; all kept would be 18 a class, that is 9 for each real image
    assert [r["synthetic"] for r in results] == [round(12 * trial["ratio"])] * 2
    assert trial["ratio"] * 2 <= max(Counter(id.split("-")[2] for id in kept).values())


def test_a_set_mixed_from_two_runs_keeps_what_made_each_image(tmp_path: Path) -> None:
    """The plan and bundle of one run on the images of another would be false provenance."""
    made, runs = tmp_path / "made", (Provenance("a" * 64, "b" * 64, "c" * 64, ("x",)), Provenance("d" * 64, "e" * 64))
    for k, provenance in enumerate(runs):
        folder = write_shards(tmp_path / f"run-{k}", 2000 + 10 * k, 1, "synthetic")
        data = ShardSet.open(folder)
        items = [(*data.at(position), "png") for position in range(data.n)]
        write_shard(made, "p", k, items, classes=data.classes, provenance=provenance)
    for split, start in (("train", 0), ("validation", 1000)):
        write_shards(tmp_path / split, start, 1, "real")
    filter_images(
        made,
        tmp_path / "train",
        tmp_path / "validation",
        tmp_path / "out",
        tmp_path / "kept",
        extractor="colour-structure",
        as_json=True,
    )
    kept = ShardSet.open(tmp_path / "kept")
    found = [kept.provenance(position) for position in range(kept.n)]
    assert {p.bundle_digest for p in found} == {"b" * 64, "e" * 64}
    assert found == [runs[id.split("-")[1] == "02010"] for id in kept.rows["id"]]


@pytest.mark.parametrize(("name", "content"), [("none.txt", None), ("other.txt", "not-one-of-these\n")])
def test_a_quarantine_of_another_set_is_refused(
    sets: dict[str, Path], tmp_path: Path, name: str, content: str | None
) -> None:
    if content:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=r"^[^\n]*(no such list|another set)[^\n]*$"):
        filter_images(
            sets["synthetic"], sets["train"], sets["validation"], tmp_path / "out", quarantine=tmp_path / name
        )


@pytest.mark.parametrize("kind", ["lineage", "parent", "near"])
def test_validation_images_that_the_generator_saw_are_refused(tmp_path: Path, kind: str) -> None:
    """Its own examples would set the thresholds. What is allowed nevertheless is said in the record and on the page."""
    train, validation = (write_shards(tmp_path / n, at, 1, "real") for n, at in (("train", 0), ("validation", 1000)))
    seen = ShardSet.open(validation).rows["id"].iloc[3]
    lineage, parent = (seen,) if kind == "lineage" else (), seen if kind == "parent" else None
    if kind == "near":
        sample, image = next(ShardSet.open(validation).images())
        noisy = np.clip(image + np.random.default_rng(0).integers(-2, 3, image.shape), 0, 255).astype(np.uint8)
        with ShardSetWriter(tmp_path / "train", "q", classes=CLASSES) as writer:
            writer.add(sample.model_copy(update={"id": "twin", "image_sha256": ""}), encode_image(noisy), "png")
        lineage, seen = ("twin",), f"{sample.id} ~ twin"
    drawn = ShardSet.open(write_shards(tmp_path / "drawn", 2000, 1, "synthetic"))
    items = [
        (sample.model_copy(update={"parent": parent}), encode_image(image), "png") for sample, image in drawn.images()
    ]
    write_shard(tmp_path / "made", "p", 0, items, classes=CLASSES, provenance=Provenance(lineage=lineage))
    places = tmp_path / "made", train, validation, tmp_path / "out"
    with pytest.raises(UserError, match=f"{seen}.*allow_leakage"):
        filter_images(*places, extractor="colour-structure", as_json=True)
    filter_images(*places, extractor="colour-structure", as_json=True, allow_leakage=True)
    assert seen in json.loads((tmp_path / "out" / "filter.json").read_text())["leakage"][0]
    part = json.loads((tmp_path / "out" / "section.json").read_text())
    assert part["status"] == "bad"
    assert seen in part["verdict"]


def test_training_images_may_have_been_seen(sets: dict[str, Path], tmp_path: Path) -> None:
    """A generator is tuned on them."""
    ids = tuple(ShardSet.open(sets["train"]).rows["id"])
    items = [(sample, encode_image(image), "png") for sample, image in ShardSet.open(sets["synthetic"]).images()]
    write_shard(tmp_path / "made", "p", 0, items, classes=CLASSES, provenance=Provenance(lineage=ids))
    places = tmp_path / "made", sets["train"], sets["validation"], tmp_path / "out"
    filter_images(*places, extractor="colour-structure", as_json=True)
    assert json.loads((tmp_path / "out" / "filter.json").read_text())["leakage"] == []

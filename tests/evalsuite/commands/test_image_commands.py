"""The commands run on phantom shards from end to end, and bad input ends in one line and exit status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.commands.filter import filter_images
from evalsuite.commands.privacy import privacy
from evalsuite.commands.quality import quality
from evalsuite.commands.report import report
from evalsuite.commands.tone import tone
from evalsuite.page.measurement import AXES
from gen.phantoms import CLASSES, draw
from shards import Sample, ShardSet, ShardSetWriter, encode_image
from shards.commands.change import select


def write(folder: Path, start: int, per_cell: int, origin: str) -> Path:
    """Phantom shards of every cell."""
    with ShardSetWriter(folder, "p", classes=CLASSES, fsync=False) as writer:
        for c, cls in enumerate(CLASSES):
            for g, group in enumerate(TONE_GROUPS):
                for i in range(per_cell):
                    image = encode_image(draw(cls, group, start + i).image, "png", 0)
                    sample = Sample(
                        id=f"{origin}-{start:05d}-{c}-{g}-{i:03d}",
                        origin=origin,
                        label=cls,
                        group=group,
                        strategy="text-to-image" if origin == "synthetic" else None,
                    )
                    writer.add(sample, image, "png")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("sets")
    return {
        "train": write(base / "train", 0, 2, "real"),
        "validation": write(base / "validation", 1000, 2, "real"),
        "synthetic": write(base / "synthetic", 2000, 2, "synthetic"),
    }


def test_quality_writes_tables_json_and_section(sets: dict[str, Path], tmp_path: Path) -> None:
    real, made = sets["validation"], sets["synthetic"]
    quality(real, made, tmp_path, ["colour-structure"], resamples=10, as_json=True)
    cells = pd.read_parquet(tmp_path / "quality.parquet")
    assert "FD[colour-structure]" in set(cells["metric"])
    assert not cells["metric"].str.startswith("FID").any()
    assert pd.read_parquet(tmp_path / "images.parquet")["id"].is_unique
    assert json.loads((tmp_path / "quality.json").read_text())["size"] == 64
    assert json.loads((tmp_path / "section.json").read_text())["status"] in ("good", "warn", "bad")


def test_tone_writes_a_row_an_image(sets: dict[str, Path], tmp_path: Path) -> None:
    tone(sets["synthetic"], tmp_path, sets["validation"], "del-bino", True)
    table = pd.read_parquet(tmp_path / "tone.parquet")
    assert len(table) == 72
    assert (table["steps_off"] == 0).mean() > 0.9


def test_privacy_quarantines_and_fails_when_asked(sets: dict[str, Path], tmp_path: Path) -> None:
    """The synthetic set is the training set itself: everything is a copy."""
    with pytest.raises(CheckFailed, match="72 synthetic"):
        privacy(
            sets["train"], sets["train"], sets["validation"], tmp_path, control=2, fail_on_copies=True, as_json=True
        )
    assert len((tmp_path / "quarantine.txt").read_text().split()) == 72
    found = json.loads((tmp_path / "privacy.json").read_text())
    assert [row["found"] for row in found["control"]] == [10, 2, 2, 2, 2, 2]  # all, then each kind
    assert found["false_alarms_measured"]["n"] == 72


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
    rates = pd.read_csv(tmp_path / "out" / "rates.csv").set_index(["family", "cell"])
    assert rates.loc[("overall", "all"), "real_rate"] <= 0.1
    assert rates.loc["group", "real_n"].tolist() == [12] * 6  # beside what it does to real images of each skin type


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
    select(str(sets["synthetic"]), tmp_path / "scored", scores=tmp_path / "out" / "scores.parquet")
    shards = ShardSet.open(tmp_path / "scored")
    assert shards.n == 72
    thresholds = json.loads((tmp_path / "out" / "filter.json").read_text())["thresholds"]
    kept = (tmp_path / "out" / "kept.txt").read_text().split()
    chosen = shards.where(min_score={n: v - 1e-6 for n, v in thresholds.items()}).rows["id"]
    assert sorted(chosen) == kept


def test_a_quarantine_is_obeyed_by_select(sets: dict[str, Path], tmp_path: Path) -> None:
    """What the audit names is gone from the next set."""
    privacy(sets["train"], sets["train"], sets["validation"], tmp_path / "audit", control=1, as_json=True)
    copies = (tmp_path / "audit" / "quarantine.txt").read_text().split()
    (tmp_path / "quarantine.txt").write_text("\n".join(copies[:70]))
    select(str(sets["train"]), tmp_path / "kept", quarantine=tmp_path / "quarantine.txt")
    assert sorted(ShardSet.open(tmp_path / "kept").rows["id"]) == sorted(copies)[70:]


def test_the_report_takes_all_in_under_five_headings(sets: dict[str, Path], tmp_path: Path) -> None:
    """From the folders that the commands left behind to one page; a damaged part is named."""
    made, folders = sets["synthetic"], [tmp_path / name for name in ("quality", "tone", "privacy", "filter")]
    quality(sets["validation"], made, folders[0], ["colour-structure"], resamples=10, as_json=True)
    tone(made, folders[1], sets["validation"], as_json=True)
    privacy(sets["train"], made, sets["validation"], folders[2], control=1, as_json=True)
    filter_images(made, sets["train"], sets["validation"], folders[3], extractor="colour-structure", as_json=True)
    report(folders, tmp_path / "page", as_json=True)
    html = (tmp_path / "page" / "report.html").read_text()
    places = [html.index(f"<h2>{axis.capitalize()}</h2>") for axis in AXES]
    assert places == sorted(places)
    assert "Not measured" not in html
    for shown in ("Positive control", "Share of copies by skin type", "Rejected share of each skin type", "Vendi"):
        assert shown in html
    (folders[1] / "section.json").write_text('{"title": "Skin tone"}')
    with pytest.raises(UserError, match="not a report section") as error:
        report(folders, tmp_path / "page", as_json=True)
    assert "\n" not in str(error.value)


def test_bad_input_is_one_line(sets: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("not-one-of-these\n")
    for call in (
        lambda: tone(tmp_path / "nowhere", tmp_path, None, "del-bino", True),
        lambda: tone(sets["synthetic"], tmp_path, None, "unknown", True),
        lambda: filter_images(
            sets["synthetic"],
            sets["train"],
            sets["validation"],
            tmp_path,
            None,
            0.1,
            tmp_path / "none.txt",
            "colour-structure",
            as_json=True,
        ),
        lambda: filter_images(
            sets["synthetic"],
            sets["train"],
            sets["validation"],
            tmp_path,
            None,
            0.1,
            other,
            "colour-structure",
            as_json=True,
        ),
    ):
        with pytest.raises(UserError) as error:
            call()
        assert "\n" not in str(error.value)


def test_a_filter_of_inpainted_images_is_judged(tmp_path: Path) -> None:
    """An arm of few real images may use their own children only: the ratio is what those allow, and not a refusal."""
    for split, start in (("train", 0), ("validation", 1000), ("test", 1100)):
        write(tmp_path / "real" / split, start, 1, "real")
    with ShardSetWriter(tmp_path / "made", "p", classes=CLASSES, fsync=False) as writer:
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
        steps=2,
        as_json=True,
    )
    kept = set((tmp_path / "out" / "kept.txt").read_text().split())
    trial = json.loads((tmp_path / "out" / "trial" / "trial.json").read_text())
    results = [json.loads(f.read_text()) for f in sorted((tmp_path / "out" / "trial").rglob("result.json"))]
    assert 0 < trial["ratio"] <= 3  # three children each; all kept would be 18 a class, that is 9 for each real image
    assert [r["synthetic"] for r in results] == [round(12 * trial["ratio"])] * 2
    assert trial["ratio"] * 2 <= max(Counter(id.split("-")[2] for id in kept).values())


@pytest.mark.slow
@pytest.mark.parametrize("command", ["quality", "tone", "privacy", "filter", "reader-study"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", "evalsuite.cli", command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Example" in done.stdout

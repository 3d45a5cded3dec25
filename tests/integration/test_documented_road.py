"""The tutorial's commands, word for word, on photographs: what a user has in hand at the end of the road."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from documented_commands import command_lines
from PIL import Image, ImageOps

from gen.builtin import pipeline_folder
from shards.format.reader import ShardSet

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DERMFORGE_SHARED", ROOT.parent / "shared")) / "data"
TUTORIAL = ROOT / "docs" / "tutorial" / "your-images.md"
TYPES = ["I", "II", "III", "IV", "V", "VI"]  # as the table says them; shards and prompts say 1 to 6
#: Words of the tutorial that name what this machine does not have, and what stands for them.
WORDS = {
    "stable-diffusion-2-1-base": str(pipeline_folder()),
    "512": "64",
    "fp16": "fp32",
    "100": "4",
    "resnet18": "test_efficientnet",
    "224": "64",
}
#: What makes a command end within a minute or two.
SHORTER = {
    ("shards", "make"): "--split 0.4,0.4,0.2",
    ("gen", "finetune"): "--steps 12 --batch 4 --views 1",
    ("evalsuite", "run"): "--steps 40 --batch 16",
}


def ssynth(place: Path) -> None:
    """50 renderings of S-SYNTH (CC0) as photographs: a scene is a patient, six bins of melanin are skin types."""
    table = pd.read_csv(SHARED / "ssynth" / "metadata.csv", dtype=str)
    ranks = table.melanin_fraction.astype(float).rank(method="first")
    (place / "photos").symlink_to(SHARED / "ssynth")
    pd.DataFrame(
        {
            "file": table.file,
            "diagnosis": np.where(table.lesion_or_hair_id.astype(int) < 50, "early", "late"),
            "fst": pd.qcut(ranks, 6, labels=TYPES),
            "patient": table.scene,
        }
    ).to_csv(place / "photos.csv", index=False)


Done = dict[str, subprocess.CompletedProcess[str]]


def walk(place: Path) -> Done:
    """Run the commands of the tutorial in order; the result of each by its first two words."""
    done = {}
    for line in command_lines(TUTORIAL):
        words = [WORDS.get(word, word) for word in shlex.split(line)]
        words += shlex.split(SHORTER.get((words[0], words[1]), ""))
        done[" ".join(words[:2])] = subprocess.run(
            [sys.executable, "-m", "dermforge", *words], cwd=place, capture_output=True, text=True, check=False
        )
    return done


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    if not (SHARED / "ssynth").is_dir():
        pytest.skip("the photographs are not here")
    place = tmp_path_factory.mktemp("road")
    ssynth(place)
    return place, walk(place)


@pytest.mark.slow
def test_a_command_ends_well_or_was_said_to_be_impossible_at_the_start(road: tuple[Path, Done]) -> None:
    _, done = road
    assert re.search(r"evalsuite privacy: no, \d patients in test; 20 are the least", done["shards make"].stdout)
    # The tutorial's filter takes the audit's quarantine, and its report is of both.
    impossible = {"evalsuite privacy", "evalsuite filter", "evalsuite report"}
    for command, result in done.items():
        assert result.returncode == (2 if command in impossible else 0), f"{command}: {result.stdout}{result.stderr}"
        assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_every_prompt_holds_the_class_and_the_skin_type(road: tuple[Path, Done]) -> None:
    plan = pd.read_parquet(road[0] / "plan.parquet")
    assert sorted(set(plan.group)) == ["1", "2", "3", "4", "5", "6"]
    for label, group, prompt in zip(plan["class"], plan["group"], plan["prompt"], strict=True):
        assert label in prompt
        assert f"{group} skin" in prompt


@pytest.mark.slow
def test_the_tone_that_was_asked_for_is_measured_and_judged(road: tuple[Path, Done]) -> None:
    """Twelve steps of tuning teach no skin type: the order that is measured holds 0, and the verdict says so."""
    place, done = road
    order = re.search(r"order \(Spearman\): \S+ \((\S+) to (\S+)\)", done["evalsuite tone"].stdout)
    assert order is not None
    low, high = map(float, order.groups())
    assert -1 <= low <= 0 <= high <= 1
    assert json.loads((place / "tone" / "section.json").read_text())["status"] != "good"


@pytest.mark.slow
def test_the_page_prints_no_impossible_number_and_judges_no_small_group(road: tuple[Path, Done]) -> None:
    page = html.unescape((road[0] / "report" / "report.html").read_text())
    shown = re.sub(r"<(style|svg|script).*?</\1>", " ", page, flags=re.DOTALL)
    text = " ".join(re.sub(r"<[^>]*>", " ", shown).split())
    assert "test_efficientnet" in text
    assert "Not enough data for an answer (9 test images, at least 10 are needed)" in text
    intervals = re.findall(r"([+-]?\d+\.\d+) to ([+-]?\d+\.\d+)", text)  # in per cent and in points
    assert intervals
    assert all(-100 <= float(low) <= float(high) <= 100 for low, high in intervals)


@pytest.mark.slow
def test_lesions_are_redrawn_inside_the_masks_of_isic(tmp_path: Path) -> None:
    """60 photographs of ISIC 2017 (CC0) with their masks; the built-in model reads 16 letters: a class is shortened."""
    isic = SHARED / "isic2017"
    if not isic.is_dir():
        pytest.skip("the photographs are not here")
    labels = pd.read_csv(isic / "labels.csv").replace("seborrheic keratosis", "keratosis")
    labels.to_csv(tmp_path / "photos.csv", index=False)
    for line in (
        f"shards make {isic / 'images'} --table photos.csv --out data --size 64",
        "gen finetune --data data/train --method lora --steps 4 --views 1 --template {class} --out tuned",
        "gen build-engine --model tuned --backend torch --out bundle",
        "gen plan --strategy inpaint --mask lesion --engine bundle --parents data/train --out plan.parquet",
        f"gen sample --shards made --engine bundle --plan plan.parquet --parents data/train --masks {isic / 'masks'}",
    ):
        command = [sys.executable, "-m", "dermforge", *shlex.split(line)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    real, made = ShardSet.open(tmp_path / "data" / "train"), ShardSet.open(tmp_path / "made")
    plan = pd.read_parquet(tmp_path / "plan.parquet")
    assert list(plan["prompt"]) == list(plan["class"])
    assert sorted(made.rows["parent"]) == sorted(real.rows["id"])
    originals = {sample.id: image for sample, image in real.images()}
    changes = []
    for index, parent in enumerate(made.rows["parent"]):
        before = Image.fromarray(originals[parent])
        with Image.open(isic / "masks" / f"{parent}_segmentation.png") as mask:
            kept = np.asarray(ImageOps.fit(mask.convert("L").resize(before.size), (64, 64))) == 0
        change = np.abs(np.asarray(ImageOps.fit(before, (64, 64)), dtype=float) - made.image_at(index)[1]).mean(axis=-1)
        changes.append((change[kept].mean(), change[~kept].mean()))
    skin, lesion = np.mean(changes, axis=0)
    assert skin < lesion / 2

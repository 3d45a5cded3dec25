"""Small shards of noise, which are faster to make than phantoms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer
import webdataset as wds
from PIL import Image
from typer.testing import CliRunner

from shards import Sample, Sidecar, encode_image, write_shard
from shards.commands.card import card

CLASSES = ["macule", "nodule"]
GROUPS = ["light", "dark"]
#: The files of a folder with one shard.
WHOLE = ["set-000000.idx", "set-000000.json", "set-000000.tar"]


def noise(seed: int, size: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def items(
    n: int, prefix: str = "s", fmt: str = "png", size: int = 12, **facts: object
) -> list[tuple[Sample, bytes, str]]:
    """Samples of two classes and two groups in turn."""
    return [
        (
            Sample.model_validate(
                {
                    "id": f"{prefix}-{i:04d}",
                    "origin": "phantom",
                    "class": CLASSES[i % 2],
                    "group": GROUPS[i // 2 % 2],
                    **facts,
                }
            ),
            encode_image(noise(i, size), fmt),
            fmt,
        )
        for i in range(n)
    ]


def picture(seed: int, size: int = 64) -> np.ndarray:
    """A smooth picture, as a photograph is."""
    small = Image.fromarray(noise(seed, 8))
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


def write(folder: Path, n: int = 3, **more: Any) -> Sidecar:
    return write_shard(folder, "set", 0, items(n), classes=CLASSES, **more)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def foreign_tar(path: Path, folders: bool = False) -> list[str]:
    """Write six samples with webdataset's own writer; returns their names."""
    names = [f"{'ab'[i % 2]}/x{i // 2}" if folders else f"x{i}" for i in range(6)]
    with wds.TarWriter(str(path)) as writer:
        for i, name in enumerate(names):
            writer.write({"__key__": name, "png": encode_image(picture(i)), "cls": str(i % 2).encode()})
    return names


def write_card(folder: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """What `shards card` writes: the card and the Croissant document."""
    app = typer.Typer()
    app.command()(card)
    result = CliRunner().invoke(app, [str(folder), "--license", "cc-by-4.0", *options], catch_exceptions=False)
    assert result.exit_code == 0
    return (folder / "README.md").read_text(), json.loads((folder / "croissant.json").read_text())


def metadata(path: Path, lines: list[dict[str, object]]) -> None:
    """Hugging Face's table of that name, in the format that its suffix says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif path.suffix == ".csv":
        pd.DataFrame(lines).to_csv(path, index=False)
    else:
        pd.DataFrame(lines).to_parquet(path, index=False)

"""A classifier beside the certificate: labels that the engine changes are counted per group."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from engines import Bundle, ValidationPrompt, load
from engines.backends.torch_eager import Reference
from engines.certificate import certify
from engines.classifier import open_classifier
from engines.errors import EngineError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `evalsuite train` writes, of a model that has learnt nothing."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=3).state_dict(), folder / "model.safetensors")
    record = {"recipe": {"model": "test_resnet", "size": 32, "steps": 1}, "classes": ["a", "b", "c"], "synthetic": 0}
    (folder / "checkpoint.json").write_text(json.dumps(record))
    return folder


def test_it_gives_a_label_an_image(checkpoint: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    labels = open_classifier(checkpoint)(images)
    assert labels.shape == (5,)
    assert set(labels.tolist()) <= {0, 1, 2}
    assert (open_classifier(checkpoint)(images[:2]) == labels[:2]).all()


def test_flips_are_counted_per_group(model: Path, bundle: Bundle) -> None:
    """An engine that inverts its images flips labels of brightness, and a right one flips none."""
    prompts = [
        ValidationPrompt(prompt="a", label="x", group="dark"),
        ValidationPrompt(prompt="b", label="y", group="light"),
    ]
    reference, engine = Reference(model, bundle, torch.device("cpu")), load(bundle.folder)
    bright = certify(engine, reference, prompts, classify=lambda images: images.mean((1, 2, 3)) > 127.5)
    assert bright.images.label_flips == 0
    decode = engine.calls.decode
    engine.calls = replace(engine.calls, decode=lambda latents: 255 - decode(latents))
    wrong = certify(engine, reference, prompts, classify=lambda images: images.mean((1, 2, 3)) > 127.5)
    assert (wrong.by_group["dark"].label_flips, wrong.by_group["light"].label_flips) == (1, 1)


def test_a_folder_that_is_none_is_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"is not a classifier .*evalsuite train"):
        open_classifier(tmp_path)
    (tmp_path / "checkpoint.json").write_text((checkpoint / "checkpoint.json").read_text().replace('"c"', '"c", "d"'))
    (tmp_path / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    with pytest.raises(EngineError, match="is not a classifier"):
        open_classifier(tmp_path)

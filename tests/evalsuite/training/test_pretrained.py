"""Pretrained where they can be had, else from scratch; which of the two is said, and how to get what lacks."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
import timm
from training_helpers import TINY, publish

from dermforge.common.errors import UserError
from evalsuite.training.pretrained import settled_recipe

GET = r"run `hf download timm/resnet18.a1_in1k model.safetensors` where the hub can be reached"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("empty_cache")
def test_without_a_hub_the_default_begins_from_scratch_and_says_so() -> None:
    made, note = settled_recipe()
    assert (made.model, made.size, made.weights, made.steps, made.lr) == ("resnet18", 224, "scratch", 1000, 1e-3)
    assert note.startswith(
        "The classifier begins from scratch: no pretrained weights of resnet18 (HF_HUB_OFFLINE is set"
    )
    assert GET in note


@pytest.mark.usefixtures("empty_cache")
def test_pretrained_weights_that_are_asked_for_are_not_replaced() -> None:
    with pytest.raises(UserError, match=GET):
        settled_recipe(weights="hub")


@pytest.mark.parametrize("wanted", [None, "auto", "hub"])
def test_cached_weights_are_taken_without_a_network(
    wanted: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(TINY, tmp_path, monkeypatch)
    made, note = settled_recipe(model=TINY, weights=wanted)
    assert (made.weights, made.steps, made.lr) == ("hub", 500, 3e-4)
    licence = timm.create_model(TINY).pretrained_cfg.get("license")  # older ones say none
    said = f" (licence {licence})" if licence else ""
    assert note == f"The classifier begins with the pretrained weights timm/{TINY}.r160_in1k{said}."


@pytest.mark.parametrize("wanted", ["scratch", "mine.safetensors"])
def test_other_weights_are_as_named_and_the_hub_is_not_asked(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://192.0.2.1")  # reserved: it never answers
    made, note = settled_recipe(weights=wanted)
    assert (made.weights, note) == (wanted, "")


def test_a_model_without_published_weights_begins_from_scratch() -> None:
    made, note = settled_recipe(model="botnet50ts_256")
    assert (made.weights, made.model) == ("scratch", "botnet50ts_256")
    assert "timm names no safetensors weights of botnet50ts_256" in note
    with pytest.raises(UserError, match="timm has no model 'resnet_of_nobody'"):
        settled_recipe(model="resnet_of_nobody")

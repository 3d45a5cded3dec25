"""Where a model's weights come from."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from training_helpers import TINY, recipe

from dermforge.common.errors import UserError
from evalsuite.training import model


def test_weights_of_the_hub_are_loaded_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--weights hub`: the body is the published one, the head is new, and without a network the cache serves."""
    torch.manual_seed(11)
    published = timm.create_model(TINY, pretrained=False)
    state = {k: v.contiguous() for k, v in published.state_dict().items()}
    folder = tmp_path / ("models--" + published.pretrained_cfg["hf_hub_id"].replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(state, folder / "snapshots" / ("0" * 40) / "model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    built = model.build(recipe(weights="hub"), 3).state_dict()
    assert built["classifier.weight"].shape[0] == 3
    assert all(torch.equal(built[k], v) for k, v in state.items() if not k.startswith("classifier"))


def test_weights_and_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Pickles run code; weights of another model would be half loaded."""
    with pytest.raises(UserError, match="timm has no model"):
        model.build(recipe(model="resnet_of_nobody"), 3)
    with pytest.raises(UserError, match=r"expected a .safetensors file"):
        model.build(recipe(weights=str(tmp_path / "w.pth")), 3)
    save_file({"x": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="do not fit the model"):
        model.build(recipe(weights=str(tmp_path / "w.safetensors")), 3)
    with pytest.raises(UserError, match="has no batch norm"):
        model.build(recipe(model="test_convnext", split_bn=True), 3)

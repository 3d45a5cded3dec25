"""Where a model's weights come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from training_helpers import TINY, publish, recipe

from dermforge.common.errors import UserError
from evalsuite.training import model


def test_weights_of_the_hub_are_loaded_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--weights hub`: the body is the published one, the head is new, and without a network the cache serves."""
    state = publish(TINY, tmp_path, monkeypatch)
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


@pytest.mark.parametrize(("name", "size", "own"), [("vit_tiny_patch16_224", 64, 224), ("vgg11", 16, 224)])
def test_a_size_that_a_model_does_not_take_is_refused(name: str, size: int, own: int) -> None:
    with pytest.raises(UserError, match=f"{name} does not take images of {size} px .*its own size is {own}") as caught:
        model.build(recipe(model=name, size=size), 3)
    assert "\n" not in str(caught.value)


def test_trying_a_batch_changes_nothing_of_the_model() -> None:
    built = model.build(recipe(), 3)
    before = {name: value.clone() for name, value in built.state_dict().items()}
    torch.manual_seed(5)
    model.try_batch(built, recipe(), 4, training=True)
    assert all(torch.equal(value, before[name]) for name, value in built.state_dict().items())
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))

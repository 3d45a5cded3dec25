"""A timm model: where its weights come from, and which of them are trained."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dermforge.common.errors import UserError
from evalsuite.training import pretrained
from evalsuite.training.recipe import HUB, SCRATCH, Recipe
from evalsuite.training.split_bn import split_batch_norms


def build(recipe: Recipe, classes: int) -> nn.Module:
    """The model of a recipe, initialised from its seed.

    Raises
    ------
    UserError
        Unknown model name, unreadable or misfitting weights, split batch norm where there is none, or a model that does
        not take images of the recipe's size.
    """
    torch.manual_seed(recipe.seed)
    pretrained.check_name(recipe.model)
    model: nn.Module
    if recipe.weights == HUB:
        source = {"file": str(pretrained.fetch(recipe.model))}
        model = timm.create_model(recipe.model, pretrained=True, pretrained_cfg_overlay=source, num_classes=classes)
    else:
        model = timm.create_model(recipe.model, num_classes=classes)
    if recipe.weights not in (SCRATCH, HUB):
        load_body(model, Path(recipe.weights))
    if recipe.split_bn and not split_batch_norms(model):
        raise UserError(f"`split_bn`: {recipe.model} has no batch norm; choose a model that has, or no `split_bn`")
    if recipe.tuning == "head":
        _freeze_body(model)
    try_batch(model, recipe, 1, training=False)
    return model


def try_batch(model: nn.Module, recipe: Recipe, images: int, training: bool) -> None:
    """Run a model once on grey images of its recipe's size; nothing of the model is changed.

    Raises
    ------
    UserError
        The model does not take images of that size, or so few of them at a time.
    """
    before = {name: value.clone() for name, value in model.named_buffers()}
    device = next(model.parameters()).device
    model.train(training)
    try:
        with torch.no_grad(), torch.random.fork_rng():
            model(torch.full((images, 3, recipe.size, recipe.size), 0.5, device=device))
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # each architecture refuses in its own way
        reason = " ".join(str(error).split())[:200]
        if training:
            raise UserError(
                f"{recipe.model} cannot be trained on {images} image{'s' if images > 1 else ''} at a time and at "
                f"{recipe.size} px ({reason}); take a larger batch or size, or a model without batch norm"
            ) from error
        own = resolve_model_data_config(model)["input_size"][-1]
        raise UserError(
            f"{recipe.model} does not take images of {recipe.size} px ({reason}); its own size is {own}"
        ) from error
    finally:
        for name, value in model.named_buffers():
            value.copy_(before[name])


def load_body(model: nn.Module, path: Path) -> None:
    """Load a safetensors file; a classifier of another size is left as it is, anything else must fit."""
    if path.suffix != ".safetensors":
        raise UserError(
            f"weights {path}: expected a .safetensors file (pickled weights can run code; convert them "
            "with safetensors.torch.save_file)"
        )
    if not path.is_file():
        raise UserError(f"weights {path}: no such file; give a .safetensors file, `hub` or `scratch`")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise UserError(f"weights {path}: not a valid safetensors file ({error})") from error
    own, head = model.state_dict(), _head_names(model)
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    missing = sorted(k for k in own if k not in fitting and k not in head)
    if missing:
        raise UserError(
            f"weights {path} do not fit the model: {len(missing)} of its tensors are missing or of another "
            f"shape, the first {missing[0]}; give the weights of the same timm model"
        )
    model.load_state_dict(fitting, strict=False)


def features(model: nn.Module, images: Tensor) -> Tensor:
    """Pooled features before the classifier, float32 [n, d]."""
    out: Tensor = model.forward_head(model.forward_features(images), pre_logits=True).float()  # type: ignore[operator]
    return out


def normaliser(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation that the model expects of pixels in [0, 1], each [3, 1, 1]."""
    config = resolve_model_data_config(model)
    return torch.tensor(config["mean"]).view(3, 1, 1), torch.tensor(config["std"]).view(3, 1, 1)


def _freeze_body(model: nn.Module) -> None:
    """Train the classifier and the batch norms only, as fastai does with a pretrained body (Sagers 2023)."""
    head = _head_names(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in head
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            for parameter in module.parameters():
                parameter.requires_grad = True


def _head_names(model: nn.Module) -> set[str]:
    classifier = model.get_classifier()  # type: ignore[operator]
    inside = {id(p) for p in classifier.parameters()}
    return {name for name, p in model.named_parameters() if id(p) in inside}

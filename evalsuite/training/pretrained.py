"""Pretrained weights of timm's models on the Hugging Face hub: the cached ones, or downloaded."""

from __future__ import annotations

from pathlib import Path

import timm
from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

from dermforge.common.errors import UserError, first_line
from evalsuite.training.recipe import DEFAULT_MODEL, HUB, SCRATCH, Recipe, make_recipe

AUTO = "auto"
#: Seconds that the hub has to answer before it counts as out of reach.
TIMEOUT_S = 10.0


def settled_recipe(**fields: object) -> tuple[Recipe, str]:
    """A recipe whose weights are settled before any image is read, and a sentence on them for record and report.

    Parameters
    ----------
    fields
        Of a `Recipe`; its weights may also be `auto`, as where they are not given: pretrained ones where the hub can be
        reached or they are cached, else from scratch.

    Raises
    ------
    UserError
        Unknown model, a field out of range, or weights `hub` although it gives none: says how to get them.
    """
    model, wanted = fields.get("model") or DEFAULT_MODEL, fields.get("weights") or AUTO
    weights, note = starting_weights(str(model), str(wanted))
    return make_recipe(**{**fields, "weights": weights}), note


def starting_weights(model: str, wanted: str) -> tuple[str, str]:
    """Where a model's weights come from, as a recipe names it, and a sentence on it; see `settled_recipe`."""
    check_name(model)
    if wanted not in (AUTO, HUB):
        return wanted, ""
    try:
        fetch(model)
    except UserError as error:
        if wanted == HUB:
            raise
        return SCRATCH, f"The classifier begins from scratch: {error}."
    config = timm.get_pretrained_cfg(model)
    licence = f" (licence {config.license})" if config.license else ""
    return HUB, f"The classifier begins with the pretrained weights {config.hf_hub_id}{licence}."


def fetch(model: str) -> Path:
    """The safetensors file of a model's pretrained weights: the cached one, else downloaded.

    Raises
    ------
    UserError
        There is none, or the hub cannot be reached.
    """
    config = timm.get_pretrained_cfg(model)
    name = (config and config.hf_hub_filename) or "model.safetensors"
    if config is None or not config.hf_hub_id or not name.endswith(".safetensors"):
        raise UserError(
            f"timm names no safetensors weights of {model} on the hub; give a file of weights, or `scratch`"
        )
    repository, _, revision = config.hf_hub_id.partition("@")
    cached = try_to_load_from_cache(repository, name, revision=revision or None)
    if isinstance(cached, str):
        return Path(cached)
    try:
        HfApi().model_info(repository, revision=revision or None, timeout=TIMEOUT_S)  # a download would try for long
        return Path(hf_hub_download(repository, name, revision=revision or None))
    except OSError as error:
        raise UserError(
            f"no pretrained weights of {model} ({_why(error)}); to get them, run `hf download {repository} {name}` "
            "where the hub can be reached and begin again with another output folder, or give that file as weights"
        ) from error


def _why(error: OSError) -> str:
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, and they are not in the cache"
    return first_line(error) if isinstance(error, HfHubHTTPError) else "the hub cannot be reached"


def check_name(model: str) -> None:
    """Refuse a model that timm does not have."""
    if not timm.is_model(model):
        near = ", ".join(timm.list_models(f"*{model.split('_')[0]}*")[:5]) or "timm.list_models() names them"
        raise UserError(f"timm has no model {model!r}; near it: {near}")

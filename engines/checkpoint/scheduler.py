"""The scheduler of a pipeline folder: its class and settings as diffusers' own pipeline object has them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from engines.checkpoint.folder import reason
from engines.checkpoint.scheduler_classes import (
    FLOW,
    FLOW_NEEDS,
    FLOW_NEVER_LEFT_OVER,
    FOREIGN,
    NEVER_LEFT_OVER,
    OWN,
    all_keys,
    followed,
    keys,
)
from engines.checkpoint.scheduler_values import PREDICTIONS, SPACINGS, check_values
from engines.checkpoint.settings import check_settings
from engines.errors import EngineError
from engines.silence import quiet

UNSET = "_use_default_values"


def open_scheduler(folder: Path, name: str, config: Mapping[str, Any], flow: bool = False) -> Any:
    """A scheduler of diffusers with the settings of a folder.

    Parameters
    ----------
    name
        Its class, as `model_index.json` names it: diffusers goes by that, and not by the scheduler's own file.
    config
        `scheduler_config.json`. Settings that only other classes take have no influence.
    flow
        Whether the denoiser was trained by flow matching, as those of SD 3, FLUX and Sana, and not by diffusion.

    Raises
    ------
    EngineError
        The class or a setting is not followed here; names it.
    """
    import diffusers

    path = folder / "scheduler" / "scheduler_config.json"
    expected = tuple(FLOW) if flow else (*OWN, *FOREIGN)
    if name not in expected:
        other = (
            "The model was trained by flow matching"
            if flow
            else "Flow matching and other kinds of diffusion are not those of this model"
        )
        raise EngineError(
            f"{path.parent} is a {name}; expected one of {', '.join(expected)}. {other}: use diffusers for it"
        )
    kind, taken = getattr(diffusers, name), keys(name)
    given = {key: value for key, value in config.items() if key in taken or key not in all_keys()}
    check_settings(path, given, followed(name, flow))
    check_values(path, given)
    for key in FLOW_NEVER_LEFT_OVER if flow else NEVER_LEFT_OVER:
        if config.get(key) and key not in taken:
            raise EngineError(f"{path} has {key} = {config[key]}, which a {name} does not have: remove it")
    for key, value in FLOW_NEEDS.items() if flow and name in OWN else ():
        if config.get(key) != value:
            raise EngineError(f"{path} has no {key} = {value}, and the model was trained by flow matching: set it")
    with _explained(path, name):
        scheduler = kind.from_config(dict(config))
    check = _check_flow if flow else _check_process
    check(path, scheduler)
    with _explained(path, name):
        _try(scheduler)
    return scheduler


@contextmanager
def _explained(path: Path, name: str) -> Iterator[None]:
    """Say in one line, whatever a class makes of settings that do not fit each other."""
    try:
        with quiet():
            yield
    except Exception as error:
        raise EngineError(f"{path} makes no {name} ({reason(error)})") from error


def _try(scheduler: Any) -> None:
    """Take eight steps from nothing: a class refuses some settings only when it is used."""
    _set_timesteps(scheduler)
    latents = torch.zeros(1, 4, 8, 8)
    for time in scheduler.timesteps:
        rows = scheduler.scale_model_input(latents, time) if hasattr(scheduler, "scale_model_input") else latents
        latents = scheduler.step(rows, time, latents).prev_sample


def _set_timesteps(scheduler: Any) -> None:
    shift_by_size = {"mu": 0.5} if scheduler.config.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(8, **shift_by_size)


def scheduler_settings(scheduler: Any) -> dict[str, Any]:
    """All settings of a scheduler, those that its file leaves out among them, as JSON values.

    `_use_default_values` names the latter: a scheduler of another class that is made of these settings has its own
    defaults for them. Infinite numbers, which are defaults, are left out.
    """
    found = {key: value for key, value in scheduler.config.items() if value not in (math.inf, -math.inf)}
    return found | {"_class_name": type(scheduler).__name__, UNSET: sorted(found.get(UNSET, []))}


def own_scheduler(settings: Mapping[str, Any]) -> Any:
    """Diffusers' scheduler of the class and with all the settings that `scheduler_settings` gave."""
    import diffusers

    kind = getattr(diffusers, settings.get("_class_name", "DDIMScheduler"))
    return kind.from_config({key: value for key, value in settings.items() if key != UNSET})


def _check_process(path: Path, scheduler: Any) -> None:
    """Refuse a forward process that is no variance-preserving diffusion, or that starts where nothing is known."""
    config = scheduler.config
    for key, expected in {"prediction_type": PREDICTIONS, "timestep_spacing": SPACINGS}.items():
        if (value := config.get(key, expected[0])) not in expected:
            raise EngineError(f"{path} has {key} = {value!r}; expected one of {', '.join(expected)}")
    betas, total = config.get("trained_betas"), config["num_train_timesteps"]
    if betas is not None and len(betas) != total:
        raise EngineError(
            f"{path} has {len(betas)} trained_betas for {total} num_train_timesteps: expected one for each timestep"
        )
    if config.get("rescale_betas_zero_snr") and config["prediction_type"] == "epsilon":
        raise EngineError(
            f"{path} has rescale_betas_zero_snr with prediction_type epsilon: noise cannot be predicted from pure "
            "noise. Set prediction_type to what the UNet was trained to predict (v_prediction or sample)"
        )
    values = scheduler.alphas_cumprod
    if not bool(
        values.isfinite().all() and (values >= 0).all() and (values <= 1).all() and (values.diff() <= 2**-24).all()
    ):
        raise EngineError(f"{path}: its betas are no noise schedule; expected numbers between 0 and 1")


def _check_flow(path: Path, scheduler: Any) -> None:
    """Refuse noise levels that do not go down from noise to none, and shifts by size that are no numbers."""
    with _explained(path, type(scheduler).__name__):
        _set_timesteps(scheduler)
    levels, config = scheduler.sigmas, scheduler.config
    if not bool(levels.isfinite().all() and (levels >= 0).all() and (levels <= 1).all() and (levels.diff() <= 0).all()):
        raise EngineError(f"{path}: its shift makes no noise schedule; expected levels that go down from 1 to 0")
    names = ("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len")
    line = [config[name] for name in names if name in config]
    if config.get("use_dynamic_shifting") and not all(isinstance(x, int | float) and math.isfinite(x) for x in line):
        raise EngineError(f"{path} shifts by size with {dict(zip(names, line, strict=False))}; expected numbers")
    if config.get("use_dynamic_shifting") and len({*line[2:]}) == 1:
        raise EngineError(f"{path} has the same base_image_seq_len and max_image_seq_len: {line[2]}")

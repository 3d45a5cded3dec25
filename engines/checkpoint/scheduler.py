"""The scheduler of a pipeline folder: its class and settings as diffusers' own pipeline object has them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from engines.checkpoint.folder import reason
from engines.checkpoint.settings import Known, check_settings, known
from engines.errors import EngineError
from engines.silence import quiet

#: What every class takes: the forward process that the UNet was trained on, and how steps are spaced over it.
COMMON = (
    "num_train_timesteps beta_start beta_end beta_schedule trained_betas prediction_type timestep_spacing steps_offset "
    "rescale_betas_zero_snr set_alpha_to_one use_karras_sigmas "
)
#: Diffusers' pipeline for text to image sets clip_sample to False, whatever the file says; the rest tune clipping.
CLIPPING = "clip_sample clip_sample_range dynamic_thresholding_ratio sample_max_value "
_NEVER = {"thresholding": (False, None)}  # it is for pixels
_SIGMAS = {
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "final_sigmas_type": ("zero",),
    "sigma_min": (None,),
    "sigma_max": (None,),
}
_FLOW = {
    "use_flow_sigmas": (False,),
    "flow_shift": (1, None),
    "use_dynamic_shifting": (False,),
    "time_shift_type": ("exponential",),
    "shift_terminal": (None,),
}
#: The classes whose steps this project computes itself, and what of them is followed.
OWN: dict[str, Known] = {
    "DDIMScheduler": known(COMMON, CLIPPING, _NEVER),
    "EulerDiscreteScheduler": known(
        COMMON, CLIPPING, _NEVER | _SIGMAS | {"interpolation_type": ("linear",), "timestep_type": ("discrete",)}
    ),
    "DPMSolverMultistepScheduler": known(
        COMMON,
        CLIPPING + "lower_order_final euler_at_final",  # the last step is of first order in any case
        _NEVER
        | _SIGMAS
        | _FLOW
        | {
            "solver_order": (2,),
            "algorithm_type": ("dpmsolver++",),
            "solver_type": ("midpoint",),
            "use_lu_lambdas": (False,),
            "lambda_min_clipped": (-math.inf, None),
            "variance_type": (None,),
        },
    ),
    "UniPCMultistepScheduler": known(
        COMMON,
        CLIPPING,
        _NEVER
        | _SIGMAS
        | _FLOW
        | {
            "solver_order": (2,),
            "predict_x0": (True,),
            "solver_type": ("bh2",),
            "lower_order_final": (True,),
            "disable_corrector": ([],),
            "solver_p": (None,),
        },
    ),
    "LCMScheduler": known(COMMON, CLIPPING, _NEVER | {"original_inference_steps": (50,), "timestep_scaling": (10,)}),
}
#: Classes whose steps only diffusers computes: the forward process is followed, and the certificate runs the class.
FOREIGN = (
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
)


PREDICTIONS = ("epsilon", "v_prediction", "sample")
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
SPACINGS = ("leading", "trailing", "linspace")
UNSET = "_use_default_values"


def open_scheduler(folder: Path, name: str, config: Mapping[str, Any]) -> Any:
    """A scheduler of diffusers with the settings of a folder.

    Parameters
    ----------
    name
        Its class, as `model_index.json` names it: diffusers goes by that, and not by the scheduler's own file.
    config
        `scheduler_config.json`. Settings that only other classes take have no influence.

    Raises
    ------
    EngineError
        The class or a setting is not followed here; names it.
    """
    import diffusers

    path = folder / "scheduler" / "scheduler_config.json"
    if name not in OWN and name not in FOREIGN:
        raise EngineError(
            f"{path.parent} is a {name}; expected one of {', '.join((*OWN, *FOREIGN))}. Flow matching and other "
            "kinds of diffusion are not supported: use diffusers for this model"
        )
    kind, taken = getattr(diffusers, name), _keys(name)
    foreign = known(" ".join(taken - {*_NEVER}), "", _NEVER)
    check_settings(
        path, {k: v for k, v in config.items() if k in taken or k not in _all_keys()}, OWN.get(name, foreign)
    )
    for key in ("thresholding", "rescale_betas_zero_snr"):
        if config.get(key) and key not in taken:
            raise EngineError(f"{path} has {key} = {config[key]}, which a {name} does not have: remove it")
    with _explained(path, name):
        scheduler = kind.from_config(dict(config))
    _check_process(path, scheduler)
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
    scheduler.set_timesteps(8)
    latents = torch.zeros(1, 4, 8, 8)
    for time in scheduler.timesteps:
        latents = scheduler.step(scheduler.scale_model_input(latents, time), time, latents).prev_sample


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
    if betas is None and config["beta_schedule"] not in BETAS:
        raise EngineError(f"{path} has beta_schedule = {config['beta_schedule']!r}; expected one of {', '.join(BETAS)}")
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


@cache
def _keys(name: str) -> frozenset[str]:
    """The settings that a class takes."""
    import diffusers

    return frozenset(inspect.signature(getattr(diffusers, name).__init__).parameters) - {"self"}


@cache
def _all_keys() -> frozenset[str]:
    return frozenset.union(*map(_keys, (*OWN, *FOREIGN)))

"""Which values a scheduler's settings may have: a class of diffusers fails on others deep inside, or takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines.errors import EngineError

PREDICTIONS = ("epsilon", "v_prediction", "sample")
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
SPACINGS = ("leading", "trailing", "linspace")

#: Whole numbers, and the least of each.
_WHOLE = {"num_train_timesteps": 1, "original_inference_steps": 1, "steps_offset": 0}
_NUMBERS = ("beta_start", "beta_end", "shift", "flow_shift", "timestep_scaling")
_FLAGS = (
    *("set_alpha_to_one", "rescale_betas_zero_snr", "thresholding", "clip_sample"),
    *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_flow_sigmas", "use_dynamic_shifting"),
)
#: Settings that may be null, as those of diffusers' own files are.
_NULL = ("flow_shift", "trained_betas", *_FLAGS)


def check_values(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse a value of another kind than its setting's, such as a number in quotes.

    Parameters
    ----------
    path
        The configuration's file, for the message.
    config
        The settings that the scheduler's class takes.

    Raises
    ------
    EngineError
        Says which setting, what was got and what is expected.
    """
    for key, value in config.items():
        if value is None and key in _NULL:
            continue
        if expected := _expected(key, value, config):
            raise EngineError(f"{path} has {key} = {value!r}; expected {expected}: restore the file")


def _expected(key: str, value: Any, config: Mapping[str, Any]) -> str:
    """What a setting should be, in words; empty where it is."""
    if key in _WHOLE and not (_is_number(value) and isinstance(value, int) and value >= _WHOLE[key]):
        return f"a whole number of at least {_WHOLE[key]}"
    if key in _NUMBERS and not _is_number(value, finite=False):
        return "a number, not in quotes"
    if key in _FLAGS and not isinstance(value, bool):
        return "true or false, not in quotes"
    if key == "trained_betas" and not (isinstance(value, list) and value and all(map(_is_number, value))):
        return "a list of numbers, or null"
    if key == "beta_schedule" and config.get("trained_betas") is None and value not in BETAS:
        return f"one of {', '.join(BETAS)}"
    return ""


def _is_number(value: Any, finite: bool = True) -> bool:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return right and (not finite or abs(value) < float("inf"))

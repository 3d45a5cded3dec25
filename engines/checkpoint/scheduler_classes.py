"""Diffusers' schedulers: which classes are followed here, and which values of each of their settings.

`OWN` and `FLOW` are the classes whose steps this project computes itself, of diffusion and of flow matching. Of a class
in `FOREIGN` only diffusers has the steps: the forward process is followed, and the certificate runs the class.
"""

from __future__ import annotations

import inspect
import math
from functools import cache

from engines.checkpoint.settings import Known, known

#: The forward process that a denoiser of diffusion was trained on.
_PROCESS = "num_train_timesteps beta_start beta_end beta_schedule trained_betas prediction_type rescale_betas_zero_snr "
#: How steps are spaced over it.
_SPACED = "timestep_spacing steps_offset set_alpha_to_one "
_RAMPS = "use_karras_sigmas use_exponential_sigmas use_beta_sigmas "
#: Diffusers' pipeline for text to image sets clip_sample to False, whatever the file says; the rest tune clipping.
_CLIPPING = "clip_sample clip_sample_range dynamic_thresholding_ratio sample_max_value "
_NEVER = {"thresholding": (False, None)}  # it is for pixels
_NO_RAMPS = dict.fromkeys(_RAMPS.split(), (False, None))
_LOWEST = {"final_sigmas_type": ("zero",), "sigma_min": (None,), "sigma_max": (None,)}
_NO_FLOW = {
    "use_flow_sigmas": (False,),
    "flow_shift": (1, None),
    "use_dynamic_shifting": (False,),
    "time_shift_type": ("exponential",),
    "shift_terminal": (None,),
}
#: What a class that is of both kinds needs, to be of flow matching.
FLOW_NEEDS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
_A_FLOW = {key: (value,) for key, value in FLOW_NEEDS.items()}
_DPMSOLVER = {
    "solver_order": (2,),
    "algorithm_type": ("dpmsolver++",),
    "solver_type": ("midpoint",),
    "use_lu_lambdas": (False,),
    "lambda_min_clipped": (-math.inf, None),
    "variance_type": (None,),
}
#: The last step is of first order in any case.
_LAST = "lower_order_final euler_at_final "
_UNIPC = {
    "solver_order": (2,),
    "predict_x0": (True,),
    "solver_type": ("bh2",),
    "lower_order_final": (True,),
    "disable_corrector": ([],),
    "solver_p": (None,),
}

OWN: dict[str, Known] = {
    "DDIMScheduler": known(_PROCESS + _SPACED, _CLIPPING, _NEVER),
    "EulerDiscreteScheduler": known(
        _PROCESS + _SPACED + _RAMPS,
        _CLIPPING,
        _NEVER | _LOWEST | {"interpolation_type": ("linear",), "timestep_type": ("discrete",)},
    ),
    "EulerAncestralDiscreteScheduler": known(_PROCESS + _SPACED, _CLIPPING, _NEVER),
    "HeunDiscreteScheduler": known(_PROCESS + _SPACED + _RAMPS, _CLIPPING, _NEVER),
    "DPMSolverMultistepScheduler": known(
        _PROCESS + _SPACED + _RAMPS, _CLIPPING + _LAST, _NEVER | _LOWEST | _NO_FLOW | _DPMSOLVER
    ),
    "UniPCMultistepScheduler": known(_PROCESS + _SPACED + _RAMPS, _CLIPPING, _NEVER | _LOWEST | _NO_FLOW | _UNIPC),
    "LCMScheduler": known(_PROCESS + "original_inference_steps timestep_scaling", _CLIPPING + _SPACED, _NEVER),
    "TCDScheduler": known(_PROCESS + "original_inference_steps", _CLIPPING + _SPACED + "timestep_scaling", _NEVER),
}
#: A flow needs no forward process of diffusion, and noise levels that the class spaces by its own rule.
FLOW: dict[str, Known] = {
    "FlowMatchEulerDiscreteScheduler": known(
        "num_train_timesteps shift use_dynamic_shifting base_shift max_shift base_image_seq_len max_image_seq_len "
        "time_shift_type shift_terminal " + _RAMPS,
        "",
        {"invert_sigmas": (False,), "stochastic_sampling": (False,)},  # its fresh noise has no seed in diffusers
    ),
    "FlowMatchHeunDiscreteScheduler": known("num_train_timesteps shift", "", {}),
    "DPMSolverMultistepScheduler": known(
        "num_train_timesteps flow_shift use_dynamic_shifting",
        " ".join({*(_PROCESS + _SPACED + _CLIPPING + _LAST).split()} - {"num_train_timesteps", "prediction_type"}),
        _NEVER | _NO_RAMPS | _LOWEST | _DPMSOLVER | _A_FLOW | {"time_shift_type": ("exponential",)},
    ),
    "UniPCMultistepScheduler": known(
        "num_train_timesteps flow_shift use_dynamic_shifting time_shift_type shift_terminal",
        " ".join({*(_PROCESS + _SPACED + _CLIPPING).split()} - {"num_train_timesteps", "prediction_type"}),
        _NEVER | _NO_RAMPS | _LOWEST | _UNIPC | _A_FLOW,
    ),
}
FOREIGN = (
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
)
#: What of a foreign class would space the steps of the solver that a plan names, and is not followed.
_FOREIGN_ONLY = _NEVER | _NO_FLOW | {"final_sigmas_type": ("zero",), "lambda_min_clipped": (-math.inf, None)}
#: Settings that are refused where a class does not have them: it would ignore them, and another one would not.
NEVER_LEFT_OVER = ("thresholding", "rescale_betas_zero_snr", "use_flow_sigmas")
FLOW_NEVER_LEFT_OVER = ("use_dynamic_shifting", "shift_terminal", "invert_sigmas", "stochastic_sampling", *_NO_RAMPS)


def followed(name: str, flow: bool) -> Known:
    """Which settings of a class are followed, in a model of diffusion or of flow matching."""
    if flow:
        return FLOW[name]
    if name in OWN:
        return OWN[name]
    return known(" ".join(keys(name) - _FOREIGN_ONLY.keys()), "", _FOREIGN_ONLY)


@cache
def keys(name: str) -> frozenset[str]:
    """The settings that a class takes."""
    import diffusers

    return frozenset(inspect.signature(getattr(diffusers, name).__init__).parameters) - {"self"}


@cache
def all_keys() -> frozenset[str]:
    """The settings that any of the classes takes."""
    return frozenset.union(*map(keys, {*OWN, *FLOW, *FOREIGN}))

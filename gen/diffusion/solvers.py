"""Solvers by name: from a schedule and a number of steps to a table.

Each table equals the diffusers scheduler of the same settings within 1e-4 over a trajectory (1e-6 in double
precision; in single, diffusers' own rounding of a state at the scale of sigma is what is seen).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from dermforge.common.errors import UserError
from engines.pipeline_spec import PipelineSpec
from gen.diffusion.ancestral import euler_ancestral
from gen.diffusion.consistency import lcm, tcd
from gen.diffusion.flow import FlowSchedule, is_flow
from gen.diffusion.ode import ddim, dpmsolver, euler, heun, unipc
from gen.diffusion.schedules import SPACINGS, NoiseSchedule
from gen.diffusion.spacing import RAMPS
from gen.diffusion.steps import StepTable

Schedule = NoiseSchedule | FlowSchedule
#: A schedule of the kind that the solver is for, the steps from pure noise, how many of them are taken, the strength.
Solver = Callable[[Any, int, int, float], StepTable]

SOLVERS: dict[str, Solver] = {
    "ddim": ddim,
    "euler": euler,
    "euler-ancestral": euler_ancestral,
    "heun": heun,
    "dpmsolver++": dpmsolver,
    "unipc": unipc,
    "lcm": lcm,
    "tcd": tcd,
}

#: The diffusers class of each solver, and how it spaces steps where its settings do not say.
CLASSES = {
    "ddim": ("DDIMScheduler", "leading"),
    "euler": ("EulerDiscreteScheduler", "linspace"),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", "linspace"),
    "heun": ("HeunDiscreteScheduler", "linspace"),
    "dpmsolver++": ("DPMSolverMultistepScheduler", "linspace"),
    "unipc": ("UniPCMultistepScheduler", "linspace"),
    "lcm": ("LCMScheduler", "leading"),
    "tcd": ("TCDScheduler", "leading"),
}
#: Solvers whose class spaces timesteps and no noise levels, and where the same update is to be had with them.
WITHOUT_RAMPS = {"ddim": "; take euler:{}, which is the same update", "euler-ancestral": ""}
#: The diffusers class of each solver of flow matching.
FLOW_CLASSES = {
    "euler": "FlowMatchEulerDiscreteScheduler",
    "heun": "FlowMatchHeunDiscreteScheduler",
    "dpmsolver++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}


def read_schedule(config: Mapping[str, Any], image_tokens: int | None = None, from_one: bool = False) -> Schedule:
    """The schedule in the settings of a diffusers scheduler, as an engine's spec has them: of diffusion or of a flow.

    Parameters
    ----------
    image_tokens
        Tokens of an image in the denoiser, for a flow whose shift depends on the size.
    from_one
        Of a flow: Euler's noise levels go from 1 to 1 / steps before the shift, as FLUX's pipeline asks for.

    Raises
    ------
    UserError
        The settings are of neither, or the size of an image is missing.
    """
    if is_flow(config):
        return FlowSchedule.from_config(config, image_tokens, from_one)
    return NoiseSchedule.from_config(config)


def schedule_of(spec: PipelineSpec) -> Schedule:
    """The schedule of an engine's pipeline, at the size of its images."""
    return read_schedule(spec.scheduler, spec.image_tokens, spec.sigmas_from_one)


def check_few_steps(spec: PipelineSpec) -> None:
    """Refuse a distilled pipeline that says it is drawn by a solver or in steps that are not here.

    Raises
    ------
    UserError
        Says what the pipeline says, and what is here.
    """
    if few := spec.few_steps:
        try:
            table(few.solver, schedule_of(spec), few.steps)
        except UserError as error:
            raise UserError(
                f"the pipeline says (few_steps in its dermforge.json) that it is drawn by {few.solver!r} in "
                f"{few.steps} steps: {error}"
            ) from error


def table(solver: str, schedule: Schedule, steps: int, strength: float = 1.0) -> StepTable:
    """The step table of a solver.

    Parameters
    ----------
    solver
        A name in `SOLVERS`, optionally with a spacing: `dpmsolver++:karras`. Without one the steps are spaced as
        diffusers' class of that solver spaces them, made `from_config` of the pipeline's scheduler. `tcd:0.3` has the
        share of fresh noise, in [0, 1].
    steps
        Number of steps from pure noise, 1 to the number of training timesteps. Heun's take two calls each, the last
        one but one.
    strength
        Part of the way from the image to pure noise at which to start, in (0, 1]; of `steps`, only the last
        int(steps * strength) are taken, of a flow rounded up, as in diffusers' image-to-image pipelines.

    Raises
    ------
    UserError
        For an unknown solver or spacing, one that the solver does not have, or a count that is out of range.
    """
    name, _, spacing = solver.partition(":")
    if name not in SOLVERS:
        raise UserError(f"unknown solver {name!r}; expected one of {', '.join(SOLVERS)}")
    seen = _taken_by(schedule, name, spacing)
    solve = SOLVERS[name]
    if name == "tcd" and spacing:
        solve = partial(tcd, fresh=_share(spacing, solver))
    if not 1 <= steps <= schedule.total:
        raise UserError(f"{steps} steps; expected 1 to {schedule.total}")
    if not 0 < strength <= 1:
        raise UserError(f"strength {strength}; expected a number in (0, 1]")
    taken = seen.taken(steps, strength)
    if taken < 1:
        least = int(1 / strength) + 1
        raise UserError(f"strength {strength} of {steps} steps leaves no step; take at least {least} steps")
    return solve(seen, steps, taken, strength)


def of_pipeline(scheduler: Mapping[str, Any]) -> str | None:
    """The solver that does what a pipeline's own scheduler does; None where only diffusers has its class.

    Diffusers' pipelines ask TCD for no fresh noise unless the caller does.
    """
    classes = FLOW_CLASSES if is_flow(scheduler) else {solver: name for solver, (name, _) in CLASSES.items()}
    found = next((solver for solver, name in classes.items() if name == scheduler.get("_class_name")), None)
    return "tcd:0" if found == "tcd" else found


def _taken_by(schedule: Schedule, name: str, spacing: str) -> Schedule:
    """The schedule as a solver takes it."""
    if isinstance(schedule, FlowSchedule):
        return _in_flow(schedule, name, spacing)
    return _as_class(schedule, name, spacing)


def _as_class(schedule: NoiseSchedule, name: str, spacing: str) -> NoiseSchedule:
    """The schedule of a diffusion as a solver's class takes it from the pipeline's scheduler, or with a spacing."""
    seen = schedule.as_class(*CLASSES[name])
    if name in WITHOUT_RAMPS:
        seen = replace(seen, ramp=None)
    if not spacing or name == "tcd":
        return seen
    if spacing not in SPACINGS:
        raise UserError(f"unknown spacing {spacing!r} in '{name}:{spacing}'; expected one of {', '.join(SPACINGS)}")
    if name == "lcm":
        raise UserError(f"lcm has no spacing {spacing!r}; it has one of its own")
    if spacing not in RAMPS:
        return replace(seen, spacing=spacing, ramp=None)
    if name in WITHOUT_RAMPS:
        raise UserError(f"{name} has no spacing {spacing!r}{WITHOUT_RAMPS[name].format(spacing)}")
    return replace(seen, spacing="linspace", ramp=spacing)


def _in_flow(schedule: FlowSchedule, name: str, spacing: str) -> FlowSchedule:
    """The schedule of a flow, or the same with a spacing of its noise levels."""
    if name not in FLOW_CLASSES:
        known = ", ".join(FLOW_CLASSES)
        raise UserError(
            f"{name} is no solver of flow matching, which the pipeline was trained by; expected one of {known}"
        )
    if spacing and spacing not in RAMPS:
        known = ", ".join(RAMPS)
        raise UserError(f"unknown spacing {spacing!r} in '{name}:{spacing}'; expected one of {known} in flow matching")
    return replace(schedule, ramp=spacing) if spacing else schedule


def _share(text: str, solver: str) -> float:
    """The share of fresh noise that a solver's name asks for."""
    share = float(text) if re.fullmatch(r"[01](\.\d+)?", text) else 2.0
    if share > 1:
        raise UserError(f"{solver!r} asks for a share {text!r} of fresh noise; expected a number in [0, 1]: tcd:0.3")
    return share

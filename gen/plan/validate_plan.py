"""Everything that can be wrong with a plan for an engine, found before the first step."""

from __future__ import annotations

import pandas as pd

from dermforge.common.errors import UserError
from dermforge.common.progress import Ticker, no_tick
from engines.engine import Engine
from engines.pipeline_spec import PipelineSpec
from gen.diffusion import solvers
from gen.diffusion.base_first import with_base
from gen.plan.parents import Parents
from gen.plan.plan import STRENGTHS, Plan
from gen.plan.prompts import too_long


def check(plan: Plan, engine: Engine, parents: Parents | None, tick: Ticker = no_tick) -> list[str]:
    """Check a plan, an engine and parents against each other.

    Parameters
    ----------
    tick
        Called with 1 after each parent is decoded.

    Returns
    -------
    Warnings, one line each: classes, skin types and pairs of them that the model was not tuned on, prompts that the
    tokenizer cuts.

    Raises
    ------
    UserError
        Another size than the engine's, an unknown solver, a missing parent or mask, or a model of phantoms asked for
        another class.
    """
    spec, frame = engine.spec, plan.frame
    check_size(plan, spec)
    schedule = solvers.schedule_of(spec)
    base = None if engine.base is None else engine.base.spec
    settings = frame[["solver", "steps", "strength", "strategy", "base_steps"]].drop_duplicates()
    for solver, steps, strength, strategy, by_base in settings.itertuples(index=False, name=None):
        strengths = [float(strength), *([STRENGTHS["inpaint"]] if strategy == "inpaint-outpaint" else [])]
        for part in strengths:
            with_base(solvers.table(solver, schedule, int(steps), part), solver, int(by_base), base)
    named = frame[frame["parent"] != ""]
    lesions = named[named["mask"] == "lesion"]
    if len(named):
        if parents is None:
            n = named["parent"].nunique()
            raise UserError(f"the plan names {n} parents; give their images as parents")
        parents.check(named["parent"], lesions["parent"], tick)
    warnings = []
    if spec.classes and (strange := sorted(set(frame["class"]) - set(spec.classes))):
        if spec.phantom:  # a drawing must never travel under the name of a disease
            raise UserError(
                f"the plan asks a model of phantoms for {', '.join(strange)}; expected only "
                f"{', '.join(spec.classes)}: change the plan, or use a model tuned on real images"
            )
        warnings.append(
            f"the model was not tuned on {', '.join(strange)} (it knows "
            f"{', '.join(spec.classes)}); its images of them mean little"
        )
    if spec.groups and (strange := sorted(set(frame["group"]) - set(spec.groups) - {""})):
        warnings.append(
            f"the model was not tuned on the skin types {', '.join(strange)} (it knows {', '.join(spec.groups)})"
        )
    if unseen := _unseen_cells(frame, spec):
        names = ", ".join(f"{label} of skin type {group}" for label, group in unseen[:5])
        more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
        warnings.append(
            f"no image that the model was tuned on shows {names}{more}: look at these before you trust their labels"
        )
    warnings += _not_of_student(frame, spec)
    texts = set(frame["prompt"]) | set(frame["negative_prompt"])
    longest = max(spec.tokens, key=lambda name: spec.tokens[name])
    if cut := too_long(texts, engine.tokenizers[longest], spec.tokens[longest]):
        warnings.append(
            f"{len(cut)} prompts have more than the {spec.tokens[longest]} tokens that the model "
            f"reads ({cut[0][1]}: {cut[0][0]!r}); the rest of them is cut off"
        )
    return warnings


def check_size(plan: Plan, spec: PipelineSpec) -> None:
    """Refuse a plan of images of another size than the engine's.

    Raises
    ------
    UserError
        Names both sizes.
    """
    if sizes := sorted(set(plan.frame["size"]) - {str(spec.size)}):
        raise UserError(
            f"the plan asks for {sizes[0]} px and the engine makes {spec.size} px; "
            f"build one of that size, or change the plan"
        )


def refuse_unused(plan: Plan, parents: Parents) -> None:
    """Refuse parents, or masks, that no row of the whole plan uses: withdrawn images do not make them useless.

    Raises
    ------
    UserError
        Says which.
    """
    named = plan.frame[plan.frame["parent"] != ""]
    if named.empty:
        raise UserError("no row of the plan starts from a photograph: leave out the parents, or plan another strategy")
    if parents.masks is not None and not (named["mask"] == "lesion").any():
        raise UserError('no row of the plan redraws a lesion: leave out the masks, or plan the mask "lesion"')


def _not_of_student(frame: pd.DataFrame, spec: PipelineSpec) -> list[str]:
    """A warning where a distilled model is drawn by another solver than its own; else nothing."""
    if spec.few_steps is None:
        return []
    own = {spec.few_steps.solver.partition(":")[0], "lcm", "tcd"}  # consistency models are drawn by these two
    strange = sorted(solver for solver in set(frame["solver"]) if solver.partition(":")[0] not in own)
    if not strange:
        return []
    few = spec.few_steps
    return [
        f"the model is a student that is drawn by {few.solver} in {few.steps} steps, and the plan draws it by "
        f"{', '.join(strange)}: look at the images before you use them"
    ]


def _unseen_cells(frame: pd.DataFrame, spec: PipelineSpec) -> list[tuple[str, str]]:
    """Class and skin type of the rows whose model knows both, but not from one image."""
    seen = {(prompt.label, prompt.group) for prompt in spec.validation_prompts if prompt.label}
    if not seen or not spec.classes or not spec.groups:
        return []
    asked = set(zip(frame["class"], frame["group"], strict=True))
    return sorted((c, g) for c, g in asked - seen if c in spec.classes and g in spec.groups)

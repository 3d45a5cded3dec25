"""From counts and settings to plan rows; the paper's experiment is a preset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dermforge.common.errors import UserError
from engines.pipeline_spec import PipelineSpec
from gen.plan.cells import Cell, Counts, group_or_none
from gen.plan.ids import cell_id
from gen.plan.plan import STRATEGIES
from gen.plan.prompts import UNKNOWN, render


@dataclass(frozen=True)
class GenerationSettings:
    """How images are made, apart from what they show.

    Attributes
    ----------
    per_parent
        Images made of each real parent by the strategies that have one.
    size
        Side in pixels, where no bundle says it.
    template
        Prompt template; None for the pipeline's own.
    one_for_all
        Accept a template that does not name the skin types of the plan.
    """

    strategies: tuple[str, ...] = ("text-to-image",)
    per_parent: int = 1
    mask: str = "centre"
    solver: str = "dpmsolver++"
    steps: int = 20
    guidance: float = 3.0
    guidance_interval: tuple[float, float] | None = None
    strength: float | None = None
    base_steps: int = 0
    size: int = 512
    template: str | None = None
    one_for_all: bool = False
    negative_prompt: str = ""
    seed: int = 0

    def row_defaults(self, model_template: str | None) -> dict[str, Any]:
        """What a table of plan rows may leave out."""
        names = ("solver", "steps", "guidance", "size", "seed", "guidance_interval", "base_steps")
        chosen = {name: getattr(self, name) for name in names} | {"prompt": self.template or model_template}
        return {key: value for key, value in chosen.items() if value is not None}


#: Sagers et al. 2023 (arXiv 2308.12453): 10 images of each real one; its diffusers spaced steps linearly. Presets have
#: no template: the words that a model was tuned on win, and a model without any gets the paper's.
SAGERS_2023 = GenerationSettings(
    strategies=("text-to-image", "inpaint", "inpaint-outpaint"),
    per_parent=10,
    solver="dpmsolver++:linspace",
    steps=50,
    guidance=3.0,
    size=512,
    seed=42,
)
PRESETS: dict[str, GenerationSettings] = {
    "sagers2023": SAGERS_2023,
    # The interval that Kynkäänniemi et al. 2024 (arXiv 2404.07724) found for Stable Diffusion XL.
    "fast": replace(SAGERS_2023, steps=20, guidance_interval=(0.28, 5.42)),
}


def few_steps(spec: PipelineSpec | None, with_base: bool) -> dict[str, Any]:
    """How a distilled pipeline is drawn where nobody says otherwise; nothing for other pipelines.

    With its base, the first step is the base's, guided as much as any pipeline.
    """
    if spec is None or spec.few_steps is None:
        return {}
    few = spec.few_steps
    if not with_base:
        return few.model_dump()
    return {"solver": few.solver, "steps": few.steps, "base_steps": 1}


def settings_from(
    preset: str | None, changes: Mapping[str, Any], usual: Mapping[str, Any] | None = None
) -> GenerationSettings:
    """The settings of a preset, or the usual ones, with changes; a change to None is none.

    Parameters
    ----------
    usual
        How a distilled model is drawn; nothing for other models.

    Raises
    ------
    UserError
        There is no such preset, or it says how to draw what a distilled model draws in another way.
    """
    if preset is not None and preset not in PRESETS:
        raise UserError(f"unknown preset {preset!r}; expected one of {', '.join(PRESETS)}")
    if preset is not None and usual and any(changes.get(name) is None for name in usual):
        own = ", ".join(f"{name} {value}" for name, value in usual.items())
        raise UserError(
            f"the preset {preset} is of {PRESETS[preset].steps} steps by {PRESETS[preset].solver}, and the model is "
            f"a student that is drawn by {own}: leave out `preset`, or say all of these"
        )
    chosen = PRESETS[preset] if preset else GenerationSettings(**(usual or {}))
    return replace(chosen, **{key: value for key, value in changes.items() if value is not None})


def rows(
    settings: GenerationSettings,
    template: str,
    counts: Counts,
    parents: pd.DataFrame | None = None,
    to_groups: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Plan rows, as mappings.

    Parameters
    ----------
    counts
        Images of each cell to make from text alone.
    parents
        Real images that the other strategies start from, one in each row: `id`, `class` and `group`.
    to_groups
        Skin types to draw every parent in; None for its own.

    Raises
    ------
    UserError
        For an unknown strategy, one that needs parents where there are none, or a template that lacks the skin type.
    """
    typed = bool(to_groups) or any(group for _, group in counts) or _typed(parents)
    words = _Words(template, UNKNOWN if typed else None, settings.one_for_all)
    for strategy in settings.strategies:
        if strategy not in STRATEGIES:
            raise UserError(f"unknown strategy {strategy!r}; expected one of {', '.join(STRATEGIES)}")
        if strategy == "text-to-image":
            for (label, group), n in counts.items():
                for number in range(n):
                    yield _row(settings, words, strategy, number, (label, group))
            continue
        if parents is None or parents.empty:
            raise UserError(f"{strategy} starts from real images; give parents, or take text-to-image")
        for parent in parents.to_dict("records"):
            name, label, own = str(parent["id"]), str(parent["class"]), group_or_none(parent.get("group"))
            for group in to_groups or (own,):
                for number in range(settings.per_parent):
                    yield _row(settings, words, strategy, number, (label, group), name)


def of_parents(parents: pd.DataFrame, per_parent: int) -> Counts:
    """As many images from text as the other strategies make: a number for each real image (as the paper)."""
    counts: Counts = {}
    for label, group in zip(parents["class"], parents["group"], strict=True):
        cell = (str(label), group_or_none(group))
        counts[cell] = counts.get(cell, 0) + per_parent
    return dict(sorted(counts.items(), key=lambda item: (item[0][0], item[0][1] or "")))


@dataclass(frozen=True)
class _Words:
    template: str
    untyped: str | None  # what a prompt says of a missing skin type, where others are known
    one_for_all: bool

    def prompt(self, label: str, group: str | None) -> str:
        return render(self.template, label, group or self.untyped, self.one_for_all)


def _typed(parents: pd.DataFrame | None) -> bool:
    return parents is not None and any(group_or_none(group) for group in parents["group"])


def _row(
    settings: GenerationSettings, words: _Words, strategy: str, number: int, cell: Cell, parent: str | None = None
) -> dict[str, Any]:
    label, group = cell
    more = () if parent is None else (strategy, hashlib.sha256(parent.encode()).hexdigest()[:12])
    row: dict[str, Any] = {
        "id": cell_id(number, label, group, *more),
        "class": label,
        "group": group,
        "strategy": strategy,
        "prompt": words.prompt(label, group),
        "negative_prompt": settings.negative_prompt,
        "parent": parent,
        "seed": settings.seed,
        "solver": settings.solver,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "guidance_interval": settings.guidance_interval,
        "base_steps": settings.base_steps,
        "size": settings.size,
    }
    if strategy != "text-to-image":
        row["strength"] = settings.strength
        if strategy != "image-to-image":
            row["mask"] = settings.mask
    return {k: v for k, v in row.items() if v is not None}

"""From what a user asks for to a plan: which cells, how many images in each, and their prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dermforge.common.errors import UserError
from engines.pipeline_spec import PipelineSpec
from gen.plan import cells, grid
from gen.plan.parents import Parents
from gen.plan.plan import Plan, from_rows
from gen.plan.prompts import template_for
from shards.ingest.folder import open_data

MOST = 10_000_000  # images of one cell: a plan is a table in memory


@dataclass(frozen=True)
class CellRequest:
    """Which cells are wanted, and how many images of each.

    At most one of `table`, `balance` and `predictions` is given. Without them each cell gets `per_cell` images, or,
    where parents are given and `per_cell` is not, as many as the strategies with parents make.

    Attributes
    ----------
    classes, groups
        None for those of the bundle's model.
    per_cell
        With `balance`, the number that real and synthetic images together reach.
    table
        Table of class, group, n.
    balance
        Real images, whose cells are brought to equal numbers.
    predictions
        Predictions table of a classifier: more images where it errs, `total` in all and at least `floor` in each cell.
    group_column
        Column of the predictions that holds the skin type.
    """

    classes: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    per_cell: int | None = None
    table: Path | None = None
    balance: str | Path | None = None
    predictions: Path | None = None
    total: int = 1000
    floor: int = 8
    group_column: str = "group"

    def __post_init__(self) -> None:
        if sum(way is not None for way in (self.table, self.balance, self.predictions)) > 1:
            raise UserError("a table of cells, data to balance and predictions exclude each other; give one of them")
        if self.per_cell is not None and not 1 <= self.per_cell <= MOST:
            raise UserError(f"{self.per_cell} images per cell; expected 1 to {MOST}")

    def named(self) -> str:
        """The name of what says how many images each cell gets; "" where nothing does."""
        says = {
            "per_cell": self.per_cell,
            "cells": self.table,
            "balance": self.balance,
            "from_predictions": self.predictions,
        }
        return next((name for name, value in says.items() if value is not None), "")

    def counts(
        self, spec: PipelineSpec | None, parents: pd.DataFrame | None = None, per_parent: int = 1
    ) -> cells.Counts:
        """Images of each cell to make from text.

        Raises
        ------
        UserError
            No classes are named, or one that the model does not know.
        """
        if self.table is not None:
            return cells.from_table(self.table)
        if parents is not None and self.per_cell is None and self.balance is None and self.predictions is None:
            return grid.of_parents(parents, per_parent)
        if spec:
            _refuse_unknown("class", self.classes, spec.classes)
            _refuse_unknown("skin type", self.groups, spec.groups)
        labels = self.classes or (spec.classes if spec else None)
        if not labels:
            raise UserError("no classes; name them, or give a bundle whose model names its own")
        groups = self.groups or (spec.groups if spec else None)
        if self.balance is not None:
            wanted = list(cells.uniform(labels, groups, 0))
            return cells.balanced(open_data(self.balance).rows, wanted, self.per_cell)
        if self.predictions is not None:
            wanted = list(cells.uniform(labels, groups, 0))
            return cells.from_errors(self.predictions, wanted, self.total, self.floor, self.group_column)
        return cells.uniform(labels, groups, 32 if self.per_cell is None else self.per_cell)


def new_plan(
    settings: grid.GenerationSettings,
    wanted: CellRequest,
    spec: PipelineSpec | None,
    parents: Parents | None = None,
    to_groups: Sequence[str] | None = None,
) -> Plan:
    """A plan of all wanted cells; its prompts follow the settings' template, else the model's, else the paper's.

    Parameters
    ----------
    spec
        Of the model that the plan is for; None where there is none yet.
    to_groups
        Skin types to draw every parent in; None for its own.
    """
    found = None if parents is None else parents.usable(wanted.classes)
    from_text = "text-to-image" in settings.strategies
    if not from_text and (named := wanted.named()):
        raise UserError(
            f"{', '.join(settings.strategies)} draws {settings.per_parent} images of each parent, and {named} says how "
            "many are drawn from text: leave it out, say how many per parent, or add the strategy text-to-image"
        )
    if found is not None and set(settings.strategies) == {"text-to-image"} and (named := wanted.named()):
        raise UserError(
            f"text-to-image starts from no photograph, and {named} says how many images are drawn: leave out the "
            "parents, or take a strategy that starts from them, such as inpaint"
        )
    if wanted.groups and found is not None and not wanted.named():
        raise UserError(
            "images that follow parents have the skin types of these: leave out the groups, or say in which ones to "
            "draw each parent by `to_groups`"
        )
    counts = wanted.counts(spec, found, settings.per_parent) if from_text else {}
    own = [] if found is None else [cells.group_or_none(group) for group in found["group"]]
    groups = [*(group for _, group in counts), *own, *(to_groups or ())]
    template = settings.template or (spec and spec.prompt_template) or template_for(any(groups))
    return from_rows(grid.rows(settings, template, counts, found, to_groups))


def _refuse_unknown(what: str, asked: Sequence[str] | None, known: list[str] | None) -> None:
    if asked and known and (strange := [one for one in asked if one not in known]):
        raise UserError(
            f"unknown {what} {', '.join(strange)}; the bundle's model knows {', '.join(known)}: "
            "choose from these, or tune the model first (`gen finetune`)"
        )

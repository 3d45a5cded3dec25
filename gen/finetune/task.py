"""What a run trains on and where its result goes; no image that is held out gets in, by whatever way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dermforge.common.progress import Progress, silent
from gen.finetune.data.examples import Examples, lineage_of, make_examples, training_rows
from gen.finetune.data.holdout import Holdout, of_splits
from shards.format.reader import ImageSet


@dataclass(frozen=True)
class Task:
    """What is trained, on which images, and where the result goes.

    Attributes
    ----------
    model
        A pipeline folder or a hub id.
    holdout
        Images that must not be trained on, in addition to the set's own validation and test images.
    work
        Checkpoint, cached latents, log and sheets; by default OUT.work.
    """

    model: str | Path
    data: ImageSet
    out: Path
    holdout: Holdout = field(default_factory=Holdout)
    work: Path | None = None

    @property
    def folder(self) -> Path:
        return self.work or self.out.with_name(f"{self.out.name}.work")

    def examples(
        self, template: str, lineage: Sequence[str], progress: Progress = silent, one_for_all: bool = False
    ) -> Examples:
        """The training images with their prompts.

        Parameters
        ----------
        lineage
            Of the model: what it was tuned on.
        one_for_all
            Accept a template that does not name the images' skin types.

        Raises
        ------
        UserError
            An image, or one behind the model or behind synthetic images, is held out; or see `make_examples`.
        """
        data = training_rows(self.data)
        held_out = self.holdout | of_splits(self.data)
        held_out.check(data.rows, {})
        held_out.check_lineage(lineage, "the base model")
        held_out.check_lineage(lineage_of(data), f"the model that drew images of {self.data}")
        with progress("check images", data.n) as tick:
            chosen = make_examples(data, template, tick, one_for_all)
        held_out.check(data.rows, chosen.digests)
        return chosen

"""The training images, the prompt of each, and the real images behind them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.progress import Ticker, no_tick
from gen.finetune.data.holdout import KEPT_BACK
from gen.plan import prompts
from shards.format.images import decode_image
from shards.format.reader import ImageSet, ShardSet


@dataclass(frozen=True)
class Examples:
    """Images and their prompts.

    Attributes
    ----------
    prompts
        The distinct prompts.
    prompt
        Position in `prompts` of each image's, [n].
    digests
        Id -> sha256 of the encoded image.
    """

    data: ImageSet
    template: str
    prompts: list[str]
    prompt: NDArray[np.int64]
    digests: dict[str, str]

    def __len__(self) -> int:
        return self.data.n

    @property
    def cells(self) -> pd.DataFrame:
        """Class and group of the first image of each prompt, in the order of `prompts`; its position in `row`."""
        rows = self.data.rows[["class", "group"]].assign(prompt=self.prompt, row=np.arange(len(self)))
        return rows.drop_duplicates("prompt").sort_values("prompt", ignore_index=True)

    @property
    def words(self) -> list[str]:
        """The word of each class that textual inversion learns: `<plaque>`, `<lichen planus>`."""
        return [f"<{label.replace('_', ' ')}>" for label in sorted(set(self.data.rows["class"]))]

    @property
    def digest(self) -> str:
        """What a run is trained on: sha256 of ids, contents and prompts, in order."""
        total = hashlib.sha256()
        for key, prompt in zip(self.data.rows["id"], self.prompt, strict=True):
            total.update(f"{key}\0{self.digests[key]}\0{self.prompts[prompt]}\n".encode())
        return total.hexdigest()


def training_rows(data: ImageSet) -> ImageSet:
    """The images that are not marked as validation or test.

    Raises
    ------
    UserError
        There are none.
    """
    chosen = data.take(np.flatnonzero(~data.rows["split"].isin(KEPT_BACK)))
    if not chosen.n:
        raise UserError(f"{data} holds no training images ({data.n} in all, none of them free for training)")
    return chosen


def make_examples(data: ImageSet, template: str, tick: Ticker = no_tick, one_for_all: bool = False) -> Examples:
    """Prompts for images; every image is decoded once, so that a broken one is found before the first step.

    Raises
    ------
    UserError
        A broken image, a template that needs a skin type where no image has one, or one that does not name the skin
        types that images have, unless `one_for_all`.
    """
    if not any(group for group in data.rows["group"]):
        written = [prompts.render(template, label, None) for label in data.rows["class"]]
    else:  # as the paper wrote it for images of unknown skin type
        written = [
            prompts.render(template, label, group or prompts.UNKNOWN, one_for_all)
            for label, group in zip(data.rows["class"], data.rows["group"], strict=True)
        ]
    distinct = sorted(set(written))
    number = {text: i for i, text in enumerate(distinct)}
    return Examples(data, template, distinct, np.array([number[text] for text in written]), _digests(data, tick))


def lineage_of(data: ImageSet) -> list[str]:
    """The real images behind a set: its own, the parents of synthetic ones, and what their generator was tuned on."""
    rows = data.rows
    synthetic = rows["origin"] == "synthetic"
    seen = set(rows["id"][~synthetic]) | {parent for parent in rows["parent"][synthetic] if parent}
    if isinstance(data, ShardSet):
        for shard in sorted(set(rows["shard"])):
            seen |= set(data.sidecars[shard].lineage)
    return sorted(seen)


def _digests(data: ImageSet, tick: Ticker) -> dict[str, str]:
    digests = {}
    for position in range(data.n):
        try:
            sample, encoded = data.at(position)
            decode_image(encoded)
        except (UserError, CheckFailed) as error:
            key = data.rows["id"].iloc[position]
            raise UserError(f"training image {key} in {data.source(position)}: {error}") from error
        digests[sample.id] = sample.image_sha256
        tick()
    return digests

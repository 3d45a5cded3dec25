"""What a repetition of the published study varies, and what it holds fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import opened_json, sealed_json
from evalsuite.study.kinds import Kind
from evalsuite.study.names import Metric
from evalsuite.study.outcomes import is_outcome
from gen.builtin.train_stages import Budget
from gen.finetune.settings import Hyperparameters

#: What a generator's UNet knows before it is tuned. other-phantoms: the built-in pipeline's, which saw 28,800 phantoms,
#: none of this study; none: random weights. VAE and text encoder are the built-in pipeline's in both.
#: own-images, for photographs: random weights too, and a VAE that was taught the images of the arm only.
Base = Literal["other-phantoms", "none", "own-images"]
BASES: tuple[Base, ...] = ("other-phantoms", "none")
#: A generator of each base, in words.
IN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "other-phantoms": "pretrained on other drawings",
        "none": "with a UNet begun from random weights",
        "own-images": "begun from random weights",
    }
)
STRATEGIES = ("text-to-image", "inpaint", "inpaint-outpaint")
RECORD = "settings.json"
#: Synthetic images for each real one that may be asked for.
LARGEST_RATIO = 1000.0
#: Noise levels at which the built-in pipeline keeps the variety of tone under guidance (docs/decisions/0060).
PHANTOM_INTERVAL = (0.1, 1.5)
#: What the command calls what it gives, where the name is another one.
OPTIONS = MappingProxyType({"sizes": "n_real", "bases": "base"})
#: Side in pixels of what the built-in pipeline draws.
PHANTOM_SIZE = 64
#: A UNet that knows nothing needs more steps, at a rate that falls.
FROM_NOTHING = Hyperparameters.check(
    method="full", steps=1500, batch=32, learning_rate=8e-4, warmup=100, schedule="cosine", drop_prompt=0.1, ema=0.99
)
#: How a generator is tuned.
TUNING: Mapping[Base, Hyperparameters] = MappingProxyType(
    {
        "other-phantoms": Hyperparameters.check(
            method="full", steps=200, batch=16, learning_rate=1e-4, warmup=20, drop_prompt=0.1, ema=0.98
        ),
        "none": FROM_NOTHING,
        "own-images": FROM_NOTHING,
    }
)
#: Steps of the VAE that is taught an arm's images.
VAE_BUDGET = Budget(encoder_steps=1500, decoder_steps=1500)


class StudySettings(BaseModel):
    """A repetition. Sizes, seeds and bases may be added to one that has begun; all else is fixed by its first run.

    Attributes
    ----------
    sizes
        Real images per class of the arms; each arm has all skin types.
    ratios
        Synthetic images for each real one.
    seeds
        Draws of the real images; each has generators of its own.
    per_cell
        Phantoms of each class and skin type: training, validation, test.
    phantom_seed
        1 to 999: seed 0 is what the built-in pipeline was trained on.
    photographs
        Digest of real photographs that take the place of phantoms; none: phantoms.
    size
        Side in pixels of the synthetic images; the classifier of photographs has it too.
    metric
        What gains are of. There are as many test phantoms of each class; of photographs there seldom are, and whoever
        always names the largest class has a good accuracy.
    classifier_steps
        Of each classifier. After 200 one of all 2,160 real phantoms was no better than one of 48 (docs/decisions/0065).
    steps, guidance, guidance_interval
        Of the DPM-Solver++ that draws the synthetic images; no interval: all steps are guided.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: tuple[int, ...] = (8, 16, 32, 64)
    ratios: tuple[float, ...] = (1, 2, 5, 10, 20, 50)
    seeds: int = Field(default=5, ge=1)
    bases: tuple[Base, ...] = BASES
    strategies: tuple[str, ...] = STRATEGIES
    per_cell: tuple[int, int, int] = (60, 8, 56)
    phantom_seed: int = Field(default=24, ge=1, le=999)
    photographs: str | None = None
    size: int = Field(default=PHANTOM_SIZE, ge=32, le=128, multiple_of=32)
    steps: int = Field(default=12, ge=1)
    guidance: float = Field(default=2.0, ge=1)
    guidance_interval: tuple[float, float] | None = None
    metric: Metric = "accuracy"
    classifier_steps: int = Field(default=600, ge=1)
    arms: tuple[Kind, ...] = ("real-repeated", "randaugment", "synthetic-only", "all-real", "shuffled-labels")

    @classmethod
    def check(cls, **given: object) -> StudySettings:
        """The settings, and what is usual for phantoms or photographs. Raises UserError for what is no study."""
        usual: dict[str, object] = {"guidance_interval": PHANTOM_INTERVAL}
        if given.get("photographs"):
            usual = {"metric": "balanced_accuracy"}
        try:
            found = cls.model_validate(usual | given)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise UserError(f"`{OPTIONS.get(name, name)}` is {first['input']!r}: {first['msg'].lower()}") from error
        _refuse_impossible(found)
        return found

    @property
    def drawn_per_parent(self) -> int:
        """Synthetic images of each strategy for each real one: what the largest ratio needs."""
        return math.ceil(max(self.ratios))

    def begin(self, work: Path) -> None:
        """Write the settings into a working folder, or refuse one that was begun with others, or a stranger's."""
        place = work / RECORD
        claim(work, "a repeated study", [RECORD])
        if place.is_file():
            before = _read(place)
            free = {"sizes", "seeds", "bases", "arms", "metric"}
            mine, theirs = self.model_dump(exclude=free), before.model_dump(exclude=free)
            if other := [name for name in mine if mine[name] != theirs[name]]:
                name = other[0]
                raise UserError(
                    f"{work} was begun with {name} {theirs[name]}, and now {mine[name]} is asked for; "
                    "ask for the same, or take another folder"
                )
        work.mkdir(parents=True, exist_ok=True)
        write_whole(place, sealed_json(self.model_dump_json(indent=1)))


def _refuse_impossible(found: StudySettings) -> None:
    for name in ("sizes", "ratios", "bases", "strategies"):
        several = getattr(found, name)
        if len(set(several)) < len(several):
            raise UserError(
                f"`{OPTIONS.get(name, name)}` names the same twice: {', '.join(map(str, several))}; give each once"
            )
    if not found.sizes or min(found.sizes) < 1 or not found.ratios or min(found.ratios) <= 0 or not found.bases:
        raise UserError("a study needs at least one number of real images, one ratio above 0, and one base")
    if not is_outcome(found.metric):
        raise UserError(f"`metric` is {found.metric}; expected accuracy, balanced_accuracy, auroc or sensitivity:CLASS")
    if unknown := set(found.strategies) - set(STRATEGIES):
        raise UserError(f"unknown strategies {sorted(unknown)}; expected some of {', '.join(STRATEGIES)}")
    if max(found.ratios) > LARGEST_RATIO:
        raise UserError(f"{max(found.ratios):g} synthetic images for each real one; expected {LARGEST_RATIO:g} at most")
    if found.photographs is None and found.size != PHANTOM_SIZE:
        raise UserError(f"phantoms have {PHANTOM_SIZE} pixels, and {found.size} are asked for: leave `size` out")
    if (found.photographs is not None) != (found.bases == ("own-images",)):
        raise UserError(f"bases {', '.join(found.bases)}; photographs have own-images, phantoms have the others")
    held = found.per_cell[0] * 6
    if found.photographs is None and max(found.sizes) > held:
        raise UserError(f"{max(found.sizes)} real images per class; there are {held} (`per_cell` times 6 skin types)")


def _read(place: Path) -> StudySettings:
    advice = "delete the folder, and run the study again"
    try:
        return StudySettings.model_validate_json(opened_json(read_regular(place), place, advice))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        said = f"{where}: {first['msg'].lower()}"
        raise UserError(f"{place} is no record of a repeated study ({said}); {advice}") from error

"""A trained classifier on disk: weights as safetensors, everything else as JSON."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save as to_bytes
from torch import nn

from dermforge.common import classifier
from dermforge.common import id_ranges as ranges
from dermforge.common.atomic import write_whole
from dermforge.common.classifier import RECORD, WEIGHTS
from dermforge.common.command_line import typed
from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError, first_fault, first_line
from dermforge.common.sealed_file import sealed_json
from evalsuite.fairness.predictions import some
from evalsuite.training import model as models
from evalsuite.training.recipe import SCRATCH, Recipe
from evalsuite.training.split_bn import merged_state
from shards import ImageSet
from shards.format.schema import created_by


class Record(BaseModel):
    """What a checkpoint says of itself.

    Attributes
    ----------
    images, clusters
        Ids of the real images that it was trained and validated on, and of their patients or families, by split.
    synthetic, lineage
        How many synthetic images it could draw from, and the real ids that their generators saw.
    history
        Each evaluation: step, validation loss and accuracy, training loss.
    weights_sha256
        Of the file of the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    recipe: Recipe
    classes: list[str] = Field(min_length=2)
    images: dict[str, list[str]]
    clusters: dict[str, list[str]] = {}
    synthetic: int
    lineage: list[str]
    best_step: int
    steps: int
    seconds: float
    seen_real: int
    seen_synthetic: int
    history: list[dict[str, float]]
    leakage: list[str] = []
    weights_sha256: str | None = None
    created_by: str = Field(default_factory=created_by)


def save(folder: Path, model: nn.Module, record: Record) -> None:
    """Write the weights, then the record: a folder with a record is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    if record.recipe.split_bn:
        state = merged_state(state)
    weights = to_bytes({k: v.detach().cpu().contiguous() for k, v in state.items()})
    write_whole(folder / WEIGHTS, weights)
    said = record.model_copy(update={"weights_sha256": digest_bytes(weights)})
    write_whole(folder / RECORD, sealed_json(said.model_dump_json(indent=1)))


def read_record(folder: Path) -> Record:
    """The JSON of a checkpoint.

    Raises
    ------
    UserError
        There is none, or it is not valid.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        raise UserError(
            f"{folder} holds no checkpoint ({RECORD}); train one with {typed('evalsuite', 'train', '--out', folder)}"
        )
    try:
        return Record.model_validate_json(classifier.read_record(Path(folder)))
    except ValidationError as error:
        raise UserError(f"{path} is not a valid checkpoint: {first_fault(error)}; train it again") from error


def refuse_seen(record: Record, folder: Path, images: ImageSet, remedy: str) -> None:
    """Refuse images that a checkpoint must not be tested on.

    Parameters
    ----------
    folder
        The checkpoint's, for the message.
    remedy
        What to do instead.

    Raises
    ------
    UserError
        The checkpoint was trained or validated on some of the images or on others of the same patient, or the generator
        of its synthetic images saw some; they are named.
    """
    ids, clusters = set(images.rows["id"]), set(images.rows["cluster"].dropna())
    known = [(ids, "images", part, names) for part, names in record.images.items()]
    known += [(clusters, "clusters", part, names) for part, names in record.clusters.items()]
    found = [(mine & set(names), what, f"in the {part} set of {folder}") for mine, what, part, names in known]
    if unknown := ranges.without_record(record.lineage):
        raise UserError(
            f"{folder} was trained on images of a generator with {', '.join(unknown)}, whose training images nobody "
            f"recorded: any of these may be among them; {remedy}"
        )
    by_generator = set(ranges.overlap(ids, record.lineage))
    found.append((by_generator, "images", f"seen by the generator whose images {folder} was trained on"))
    for shared, what, where in found:
        if shared:
            raise UserError(f"{len(shared)} {what} were {where} ({some(shared, 20)}); {remedy}")


def load(folder: Path) -> tuple[nn.Module, Record]:
    """The model with its weights, in evaluation mode.

    Raises
    ------
    UserError
        Missing or damaged files, or weights that do not fit the model named.
    """
    record = read_record(folder)
    path = Path(folder) / WEIGHTS
    plain = record.recipe.model_copy(update={"weights": SCRATCH, "split_bn": False, "tuning": "full"})
    model = models.build(plain, len(record.classes))
    try:
        model.load_state_dict(classifier.read_weights(Path(folder), record.weights_sha256))
    except (SafetensorError, FileNotFoundError, RuntimeError) as error:
        raise UserError(
            f"{path} does not hold the weights of {record.recipe.model}: {first_line(error)}; train it again"
        ) from error
    return model.eval(), record

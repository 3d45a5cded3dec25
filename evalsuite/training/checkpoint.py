"""A trained classifier on disk: weights as safetensors, everything else as JSON."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from evalsuite.training import model as models
from evalsuite.training.recipe import Recipe
from evalsuite.training.split_bn import merged_state
from shards.atomic import write_whole
from shards.errors import UserError
from shards.schema import created_by

WEIGHTS, RECORD = "model.safetensors", "checkpoint.json"


class Record(BaseModel):
    """What a checkpoint says of itself.

    Attributes
    ----------
    feature_size
        Width of the features that a `features` head was trained on.
    images
        Ids of the real images it was trained and validated on, by split.
    synthetic, lineage
        How many synthetic images it could draw from, and the real ids their generators saw.
    history
        Each evaluation: step, validation loss and accuracy, training loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    recipe: Recipe
    classes: list[str] = Field(min_length=2)
    images: dict[str, list[str]]
    synthetic: int
    lineage: list[str]
    best_step: int
    steps: int
    seconds: float
    seen_real: int
    seen_synthetic: int
    history: list[dict[str, float]]
    leakage: list[str] = []
    created_by: str = Field(default_factory=created_by)


def save(folder: Path, model: nn.Module, record: Record) -> None:
    """Write the weights, then the record: a folder with a record is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    if record.recipe.split_bn:
        state = merged_state(state)
    write_whole(folder / WEIGHTS, to_bytes({k: v.detach().cpu().contiguous() for k, v in state.items()}))
    write_whole(folder / RECORD, record.model_dump_json(indent=1).encode())


def read_record(folder: Path) -> Record:
    """The JSON of a checkpoint.

    Raises
    ------
    UserError
        There is none, or it is not valid.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        raise UserError(f"{folder} holds no checkpoint ({RECORD}); train one with `evalsuite train --out {folder}`")
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path} is not a valid checkpoint: {where}: {first['msg']}; train it again") from error


def load(folder: Path) -> tuple[nn.Module, Record]:
    """The model with its weights, in evaluation mode.

    Raises
    ------
    UserError
        Missing or damaged files, or weights that do not fit the model named.
    """
    record = read_record(folder)
    path = Path(folder) / WEIGHTS
    plain = record.recipe.model_copy(update={"weights": None, "split_bn": False, "tuning": "full"})
    model = models.build(plain, len(record.classes))
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, FileNotFoundError, RuntimeError) as error:
        raise UserError(f"{path} does not hold the weights of {record.recipe.model}: {str(error).splitlines()[0]}; "
                        "train it again") from error
    return model.eval(), record

"""A model as people have it, a folder, a hub id or a single file, opened as a pipeline folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dermforge.common.digests import digest_file
from engines.checkpoint.folder import read_json
from engines.checkpoint.scheduler_values import PREDICTIONS
from engines.checkpoint.skeleton import INDEX, parts_of, tokenizers_of
from engines.checkpoint.variants import link_variant
from engines.errors import EngineError
from engines.facts import read_facts, write_facts
from engines.find_model import resolve
from engines.pipeline_spec import model_digest
from engines.private_copy import derived_folder
from engines.single_file.convert import Told, write_folder
from engines.weights_source import WeightsSource

#: What a single file has beside its plain weights, and what those are called beside it.
AVERAGE, BEFORE_AVERAGING = "ema", "non_ema"


@dataclass(frozen=True)
class Source:
    """A model, and what only a person can say of it.

    Attributes
    ----------
    model
        A pipeline folder, a hub id, or a checkpoint in one `.safetensors` file.
    variant
        The copy of the weights that is read where there are several, such as fp16, ema or non_ema; None for the plain
        ones.
    prediction_type
        What the UNet of a single file predicts, where nothing in the file says it.
    parts_from
        A pipeline folder for a single file: the configurations and the parts that the file lacks; or a folder of
        tokenizers.
    """

    model: str | Path
    variant: str | None = None
    prediction_type: str | None = None
    parts_from: str | Path | None = None


@contextmanager
def open_model(source: Source) -> Iterator[Path]:
    """A pipeline folder: the model itself, or a private one in which only the chosen weights are.

    A private one lies where temporary files do (`TMPDIR`) and is removed in the end. Its `dermforge.json` says where
    the weights came from.

    Raises
    ------
    EngineError
        The model is not usable, or what is said of it does not go with it.
    """
    path = Path(source.model)
    if source.prediction_type not in (None, *PREDICTIONS):
        raise EngineError(f"`prediction_type` is {source.prediction_type!r}; expected one of {', '.join(PREDICTIONS)}")
    if path.is_file():
        with derived_folder(path, path.stem) as made:
            yield _converted(path, made, source)
        return
    folder = resolve(source.model)
    if source.prediction_type is not None or source.parts_from is not None:
        raise EngineError(
            f"{folder} is a pipeline folder, which has its parts and says what its denoiser predicts: "
            "`prediction_type` and `parts_from` are for single files"
        )
    if source.variant is None:
        yield folder
        return
    with derived_folder(folder, folder.resolve().name) as made:
        yield _chosen(folder, made, source.variant)


def _converted(path: Path, folder: Path, source: Source) -> Path:
    """A single file as a pipeline folder, with the record of where it came from."""
    if source.variant not in (None, AVERAGE, BEFORE_AVERAGING):
        raise EngineError(
            f"{path} is a single file, of which {AVERAGE} and {BEFORE_AVERAGING} are variants; got {source.variant!r}"
        )
    if source.parts_from is not None and Path(source.parts_from).is_file():
        raise EngineError(f"`parts_from` is {source.parts_from}, a file; expected a pipeline folder or a hub id")
    base = None if source.parts_from is None else resolve(source.parts_from)
    if base is not None and (base / INDEX).is_file():
        model_digest(base)
    told = Told(source.variant == AVERAGE, source.prediction_type, base)
    described = write_folder(path, folder, told)
    lent = sorted(part.name for part in folder.iterdir() if part.is_symlink())
    facts = read_facts(base) if base is not None and lent else {}
    record = WeightsSource(
        file=path.name,
        sha256=digest_file(path),
        kind=described.title,
        variant=source.variant,
        prediction_type=source.prediction_type,
        parts_from=None if base is None else base.resolve().name,
        lent=lent,
    )
    kept = {name: facts[name] for name in ("lineage", "lineage_sha256", "phantom") if name in facts}
    write_facts(folder, kept | {"source": record.model_dump()})
    return folder


def _chosen(base: Path, folder: Path, variant: str) -> Path:
    """A pipeline folder with the chosen copies of its weights."""
    model_digest(base)  # refuses a tuned pipeline that was changed, whose digests do not go with it
    folder.mkdir(parents=True)
    (folder / INDEX).write_text(json.dumps(read_json(base / INDEX), indent=2) + "\n", encoding="utf-8")
    for part in ("scheduler", *tokenizers_of(base)):
        (folder / part).symlink_to((base / part).resolve(), target_is_directory=True)
    plain = link_variant(base, folder, parts_of(base), variant)
    facts = read_facts(base)
    facts.pop("files", None)
    write_facts(folder, facts | {"source": facts.get("source", {}) | {"variant": variant, "plain": plain}})
    return folder

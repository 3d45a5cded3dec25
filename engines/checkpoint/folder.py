"""The files of a pipeline folder: which parts it has, and which of a part's files hold its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dermforge.common.errors import what_it_says
from dermforge.common.pickles import PICKLED, is_a_pickle
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import opened_json
from engines.errors import EngineError

#: Copies of the same weights in another precision; the first that is there is read. Others (`non_ema`) are not.
VARIANTS = (None, "fp32", "fp16", "bf16")
#: By which transformers and peft would load other weights, or the weights of another folder, beside these.
ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
#: In the names of weights that were averaged over the training, or were not where others were.
EMA = re.compile(r"(^|[_.-])(non_)?ema([_.-]|$)", re.IGNORECASE)
#: The programs that make a folder without pickles of one with some: of a pipeline, and of a network alone.
CONVERT = (
    "import sys; from diffusers import DiffusionPipeline as P; "
    "P.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
)
CONVERT_ALONE = (
    "import sys; from diffusers import AutoModel as M; M.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
)


@dataclass(frozen=True)
class Weights:
    """The safetensors files that a part's weights are read from, and diffusers' name of that variant."""

    files: list[Path]
    variant: str | None = None


def weights_name(part: str) -> str:
    """The name of a part's weights, without what follows the first dot: as its library calls it."""
    return "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"


def weight_files(folder: Path, part: str) -> Weights:
    """The files of one part's weights: one file, or the shards that an index names.

    Raises
    ------
    EngineError
        There are none, they are pickled, a shard is missing, or there is an adapter beside them.
    """
    place, name = folder / part, weights_name(part)
    if adapter := next((one for one in sorted(ADAPTERS) if (place / one).exists()), None):
        raise EngineError(
            f"{place} holds an adapter that is not fused ({adapter}): load it in diffusers, call fuse_lora() and "
            "unload_lora_weights(), and save the pipeline again; or take the file away, if it is not meant"
        )
    for variant in VARIANTS:
        one = place / ".".join(word for word in (name, variant, "safetensors") if word)
        index = place / ".".join(word for word in (name, "safetensors.index", variant, "json") if word)
        if one.is_file() and index.is_file():
            raise EngineError(f"{place} holds two copies of the weights, {one.name} and {index.name}: delete one")
        if one.is_file():
            return Weights([one], variant)
        if index.is_file():
            return Weights(shards_of(index), variant)
    raise EngineError(_no_weights(folder, place, name))


def averaged_weights(folder: Path) -> list[str]:
    """Folders and files of a pipeline that hold another average of its weights, by name: they are not read."""
    found = [*folder.glob("*"), *folder.glob("*/*.safetensors"), *folder.glob("*/*.bin")]
    return sorted(str(path.relative_to(folder)) for path in found if EMA.search(path.name))


def shards_of(index: Path) -> list[Path]:
    """The files that an index of sharded weights names.

    Raises
    ------
    EngineError
        One is not there, or does not lie next to the index.
    """
    named = read_json(index).get("weight_map")
    names = sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []
    if not names:
        raise EngineError(f"{index} names no files: restore it, or save the pipeline again with save_pretrained")
    files = [index.parent / name for name in names]
    for file in files:
        if file.parent != index.parent or file.suffix != ".safetensors" or not file.is_file():
            raise EngineError(f"{index} names {file.name}, which is not there: copy or download it again")
    return files


def _no_weights(folder: Path, place: Path, name: str) -> str:
    """Why a part has no weights that are read, and what to do."""
    if place.is_symlink():  # in a private folder, which is gone when the message is read
        place = place.resolve()
        folder = place.parent
    if pickled := sorted(path for path in place.glob("*") if path.suffix.lower() in PICKLED):
        index = folder / "model_index.json"
        if not index.is_file() or place.name not in read_json(index):
            return is_a_pickle(pickled[0], CONVERT_ALONE, place, f"{place}-safe")
        return is_a_pickle(pickled[0], CONVERT, folder, f"{folder}-safe")
    found = sorted(p.name for p in place.glob("*.safetensors"))
    others = f"; {', '.join(found[:3])} is not read: rename it if it holds the weights" if found else ""
    return f"{place} has no weights: expected {name}.safetensors, or its shards with an index{others}"


def refuse_code(folder: Path, parts: Iterable[str]) -> None:
    """Refuse a part of a pipeline with Python files in it: diffusers would run some of them, asking nobody.

    Raises
    ------
    EngineError
        Names the first of them.
    """
    for part in parts:
        if code := sorted((folder / part).glob("*.py")):
            raise EngineError(f"{code[0]} is code, and code in a model's folder is not run: take it away")


@contextmanager
def known_files(folder: Path, networks: Iterable[str], others: Iterable[str]) -> Iterator[Path]:
    """A folder of links to the files of a pipeline that are known, for libraries that look for others beside them."""
    files = [folder / "model_index.json"]
    for part in networks:
        files += [*(folder / part).glob("*.json"), *weight_files(folder, part).files]
    for part in others:
        files += [path for path in (folder / part).iterdir() if path.suffix in (".json", ".txt")]
    with TemporaryDirectory() as name:
        for path in filter(Path.is_file, files):
            link = Path(name) / path.relative_to(folder)
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path.resolve())
        yield Path(name)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a pipeline folder.

    Raises
    ------
    EngineError
        The file is missing or damaged.
    """
    if not path.is_file():
        found = sorted(one.name for one in path.parent.glob("*.safetensors")) if path.name == "model_index.json" else []
        alone = (
            f"; to use {found[0]} in it, such as an adapter, name the file: {path.parent / found[0]}" if found else ""
        )
        raise EngineError(f"{path} is missing: expected a pipeline folder as save_pretrained writes it{alone}")
    try:
        value = json.loads(opened_json(read_regular(path), path, "restore it, or take `sha256` out if you changed it"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError(f"{path} is not JSON ({one_line(error)}): restore it") from error
    if not isinstance(value, dict):
        raise EngineError(f"{path} holds a {type(value).__name__}; expected a JSON object")
    return value


def reason(error: BaseException) -> str:
    """What went wrong in another library: the exception's class and its message, in one line."""
    return f"{type(error).__name__}: {one_line(error)}"


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks, cut where it is long."""
    return " ".join(what_it_says(error).split())[:300]

"""What a single file is: its family and the configurations of its parts, which the file itself does not hold.

They are those of the published models, found by the shapes of the file's weights, or those of a pipeline folder that a
person gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from engines.checkpoint.folder import read_json
from engines.checkpoint.safetensors_file import Entry
from engines.checkpoint.skeleton import INDEX, parts_of, read_family
from engines.errors import EngineError
from engines.models import families
from engines.models.family import Family
from engines.single_file.layouts import DENOISER

CARRIED = Path(__file__).with_name("configurations")


@dataclass(frozen=True)
class Described:
    """A pipeline as `model_index.json` and the configurations of its parts say it is.

    Attributes
    ----------
    pads
        By tokenizer, the token that CLIP's vocabulary is filled up with; none for those that are not carried.
    sizes
        The side of latents that a UNet was trained at, where it goes by what is predicted.
    base
        The pipeline folder that the configurations are of; None for those that are carried.
    """

    title: str
    family: Family
    index: dict[str, Any]
    parts: dict[str, dict[str, Any]]
    scheduler: dict[str, Any]
    pads: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    base: Path | None = None


def describe(path: Path, names: Mapping[str, Entry], given: Path | None) -> Described:
    """The pipeline of a checkpoint.

    Parameters
    ----------
    names
        Of its tensors.
    given
        A pipeline folder of the same kind, or None.

    Raises
    ------
    EngineError
        The file is of no kind that is known; says what it is, where that is known.
    """
    if given is not None:
        if (given / INDEX).is_file():
            return _of_folder(given)
        if not any((given / name).is_dir() for family in families().values() for name in family.tokenizers):
            raise EngineError(
                f"`parts_from` is {given}, which has neither {INDEX} nor a tokenizer: give the folder of a pipeline, "
                "or one with its tokenizers"
            )
    for name in sorted(CARRIED.glob("*.json")):
        one = carried(name.stem)
        if any(_is(one["shapes"], names, prefix) for prefix in (DENOISER, "")):
            return _of_carried(one)
    raise EngineError(f"{path} {_what_else(names)}")


@cache
def carried(name: str) -> dict[str, Any]:
    """One of the configurations that are carried here."""
    found: dict[str, Any] = json.loads((CARRIED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _is(shapes: Mapping[str, list[int] | None], names: Mapping[str, Entry], prefix: str) -> bool:
    """Whether a file has all of these tensors in these shapes, and none of those of no shape."""
    found = {name: names.get(prefix + name) for name in shapes}
    return all((None if one is None else list(one.shape)) == shapes[name] for name, one in found.items())


def _of_carried(one: Mapping[str, Any]) -> Described:
    family = next(f for f in families().values() if one["class"] in f.pipelines)
    tokens = {name: ["transformers", kinds.kinds[0]] for name, kinds in family.tokenizers.items()}
    parts = {name: [part.library, part.kind] for name, part in family.parts.items()}
    index = {
        "_class_name": one["class"],
        "scheduler": ["diffusers", one["scheduler"]["_class_name"]],
        **parts,
        **tokens,
    }
    configs = {name: dict(config) for name, config in one["parts"].items()}
    sizes = one.get("sample_size", {})
    return Described(one["title"], family, index, configs, dict(one["scheduler"]), one["tokenizers"], sizes)


def _of_folder(base: Path) -> Described:
    family = read_family(base)
    if not family.layouts:
        raise EngineError(f"{base} is of {family.title}, of which no single files are read: save the model as a folder")
    configs = {part: read_json(base / part / "config.json") for part in parts_of(base)}
    scheduler = read_json(base / "scheduler" / "scheduler_config.json")
    return Described(family.title, family, read_json(base / INDEX), configs, scheduler, base=base)


def _what_else(names: Mapping[str, Entry]) -> str:
    """What a file is that no configuration is carried for, and what to do with it."""
    first = ", ".join(sorted(names)[:2]) or "nothing"
    if any("lora" in name for name in names):
        return "is an adapter (LoRA), and not a model: give it beside the model that it was trained on"
    if any(name.startswith(("down_blocks.", "transformer_blocks.", "encoder.down_blocks.")) for name in names):
        return (
            f"holds one network in the names of diffusers ({first} ...): put it into the folder of its pipeline, under "
            "the name that it has there"
        )
    if names and all(
        name.startswith(("first_stage_model.", "encoder.", "decoder.", "quant_", "post_")) for name in names
    ):
        return "holds a VAE alone: expected a denoiser"
    titles = ", ".join(carried(name.stem)["title"] for name in sorted(CARRIED.glob("*.json")))
    return (
        f"is no checkpoint of a kind that is known here (it holds {first} ...); expected one of: {titles}. Of another "
        "shape of these families, give a pipeline folder with its configurations by `parts_from`; another family needs "
        "a file in engines/models, with the names of its weights"
    )

"""Copies of the same weights in one pipeline folder: of another precision, or from before or after averaging.

Diffusers calls what stands between a file's name and its suffix a variant: `diffusion_pytorch_model.fp16.safetensors`,
`...non_ema.safetensors`. A folder beside the part, such as `unet_ema`, is taken as the variant of that name too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from engines.checkpoint.folder import shards_of, weight_files, weights_name
from engines.errors import EngineError

PIECE = re.compile(r"-\d{5}-of-\d{5}")


def variants_of(folder: Path, part: str) -> dict[str, Path]:
    """The copies of a part's weights by variant, "" for the plain names: a file, an index of shards, or a folder."""
    place, name = folder / part, re.escape(weights_name(part))
    pattern = re.compile(rf"{name}(?:\.(.+))?\.safetensors|{name}\.safetensors\.index(?:\.(.+))?\.json")
    found: dict[str, Path] = {}
    for path in sorted(place.glob("*")):
        if (match := pattern.fullmatch(path.name)) and not PIECE.search(path.name) and path.is_file():
            found.setdefault(match[1] or match[2] or "", path)
    for beside in sorted(folder.glob(f"{part}_*")):
        variant = beside.name[len(part) + 1 :]
        if (beside / "config.json").is_file() and not variant[0].isdigit():  # text_encoder_2 is another part
            found.setdefault(variant, beside)
    return found


def other_copies(folder: Path, parts: Iterable[str]) -> list[str]:
    """The copies of weights in a pipeline folder beside those that are read, by their names in it."""
    found = []
    for part in parts:
        read = weight_files(folder, part).variant or ""
        found += [path for variant, path in variants_of(folder, part).items() if variant != read]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def link_variant(folder: Path, out: Path, parts: Iterable[str], variant: str) -> list[str]:
    """Link the parts of a pipeline into a folder where the chosen copies stand under the plain names.

    Returns
    -------
    list
        The parts that have no such copy, of which the plain one is linked.

    Raises
    ------
    EngineError
        No part has one, or an index names files that are not there.
    """
    names = list(parts)
    copies = {part: variants_of(folder, part) for part in names}
    if not any(variant in found for found in copies.values()):
        known = sorted({one for found in copies.values() for one in found if one})
        there = f"{', '.join(known)}: choose one of those, or" if known else "none beside the plain ones:"
        raise EngineError(
            f"{folder} has no weights of the variant {variant!r}; it has {there} leave `variant` out to read "
            "the plain ones"
        )
    for part in names:
        chosen = copies[part].get(variant)
        if chosen is None:
            (out / part).symlink_to((folder / part).resolve(), target_is_directory=True)
        elif chosen.is_dir():
            (out / part).symlink_to(chosen.resolve(), target_is_directory=True)
        else:
            _link_files(folder / part, out / part, chosen, weights_name(part))
    return [part for part in names if variant not in copies[part]]


def _link_files(place: Path, out: Path, chosen: Path, name: str) -> None:
    """A part with its configuration and the chosen weights only."""
    out.mkdir()
    for path in place.glob("*.json"):
        if ".index." not in path.name:
            (out / path.name).symlink_to(path.resolve())
    if chosen.suffix == ".json":
        (out / f"{name}.safetensors.index.json").symlink_to(chosen.resolve())
        for shard in shards_of(chosen):
            (out / shard.name).symlink_to(shard.resolve())
    else:
        (out / f"{name}.safetensors").symlink_to(chosen.resolve())

"""Adapters of transformers in the names of kohya's trainer, which are those of the models' own code.

There a layer gives queries, keys and values together, and an adapter changes them together; in diffusers they are
layers of their own. The first matrix then goes to each of them, and of the second one the rows that are its own. Where
those lie is what the family says of the weights themselves in single files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engines.adapters.files import AdapterFile
from engines.adapters.lora_formats import ALPHA, DOWN, UP, Loadable, scales_of
from engines.checkpoint.weights import CLIP_TEXT
from engines.errors import EngineError
from engines.models.family import Family
from engines.single_file.piece import Piece

#: What stands in front of the names of a text encoder (sd-scripts, networks/lora_flux.py and networks/lora_sd3.py).
TEXT = {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
WEIGHT = ".weight"


@dataclass(frozen=True)
class Place:
    """A layer of a network, and what of a matrix in the file is its own."""

    layer: str
    piece: Piece
    shape: tuple[int, ...]


def read_transformer_lora(file: AdapterFile, family: Family, networks: Mapping[str, Any]) -> Loadable:
    """Bring an adapter's names into those that diffusers reads, with alpha in its matrices.

    Parameters
    ----------
    networks
        The parts that can have adapters, without weights.

    Raises
    ------
    EngineError
        A layer is not there, or of another shape: names it.
    """
    places: dict[str, list[Place]] = {}
    for part, network in networks.items():
        for key, place in _layers(family, part, network):
            places.setdefault(key, []).append(place)
    tensors: dict[str, torch.Tensor] = {}
    for module in sorted({name.partition(".")[0] for name in file.tensors}):
        if module not in places:
            raise EngineError(
                f"{file.path} is an adapter of another architecture: it changes {module}, which is in none of "
                f"{', '.join(networks)}"
            )
        down, up, scale = _matrices(file, module)
        for place in places[module]:
            whole = [len(up), down.flatten(1).shape[1]]
            if not place.piece.fits(whole, place.shape) or len(down) != up.shape[1]:
                raise EngineError(
                    f"{file.path} is an adapter of another architecture: {module} has {whole}, and {place.layer} is "
                    f"{list(place.shape)}"
                )
            tensors[f"{place.layer}.lora_A.weight"] = down.float()
            own = place.piece.of(up.float() * scale, (place.shape[0], up.shape[1]))
            tensors[f"{place.layer}.lora_B.weight"] = own
    parts = sorted({name.partition(".")[0] for name in tensors})
    return Loadable(tensors, {}, parts, scales_of(tensors), dora=False)


def _layers(family: Family, part: str, network: Any) -> Sequence[tuple[str, Place]]:
    """The layers that an adapter can change, under the names of kohya's files."""
    found, state = [], network.state_dict()
    linear = {name: tuple(v.shape) for name, v in state.items() if name.endswith(WEIGHT) and v.ndim == 2}
    for name, shape in linear.items():
        piece, prefix = Piece(CLIP_TEXT.sub("text_model.", name)), TEXT.get(part, "")
        if part == family.denoiser:
            own, prefix = family.layouts[part][0].piece(name, dict(network.config)), "lora_unet_"
            if own is None:
                continue
            piece = own
        key = prefix + piece.name.removesuffix(WEIGHT).replace(".", "_")
        found.append((key, Place(f"{part}.{name.removesuffix(WEIGHT)}", piece, shape)))
    return found


def _matrices(file: AdapterFile, module: str) -> tuple[torch.Tensor, torch.Tensor, float]:
    """A module's two matrices, and alpha over rank, 1 where the file has no alpha for it."""
    names = [name for name in file.tensors if name.partition(".")[0] == module]
    if lost := {module + DOWN, module + UP} - set(names):
        raise EngineError(f"{file.path} has {names[0]} and no {sorted(lost)[0]}: the file is damaged")
    if odd := sorted(set(names) - {module + DOWN, module + UP, module + ALPHA}):
        raise EngineError(f"{file.path} has {odd[0]}, which is no part of a LoRA: fuse it elsewhere")
    down, up = file.tensors[module + DOWN], file.tensors[module + UP]
    alpha = file.tensors.get(module + ALPHA)
    return down, up, 1.0 if alpha is None else float(alpha) / len(down)

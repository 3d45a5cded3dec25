"""The weights of one part of a pipeline in a checkpoint: found by name, compared by shape, and read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engines.checkpoint.safetensors_file import Entry, open_safetensors
from engines.checkpoint.weights import TYPES, is_finite, own_names
from engines.errors import EngineError
from engines.single_file.layouts import DENOISER, Layout, averaged
from engines.single_file.names_text import open_clip
from engines.single_file.piece import Piece


@dataclass(frozen=True)
class Found:
    """Where the weights of a part lie in a file: by the network's name, the piece and the shape of the weight."""

    pieces: Mapping[str, tuple[Piece, tuple[int, ...]]]
    unused: frozenset[str] = frozenset()

    def names(self) -> set[str]:
        """The tensors of the file that are used."""
        return {piece.name for piece, _ in self.pieces.values()}


def find_part(
    path: Path,
    names: Mapping[str, Entry],
    part: str,
    network: Any,
    layouts: Iterable[Layout],
    average: bool = False,
    lender: Path | None = None,
) -> Found | None:
    """Where a part's weights are; None where the file has none of them.

    Parameters
    ----------
    names
        Of the file's tensors.
    network
        Of diffusers or transformers, without weights.
    average
        Whether to read a denoiser's average over the training.
    lender
        The pipeline folder that the network's configuration is of; None where it is carried here.

    Raises
    ------
    EngineError
        Some are there and others not, or they are of another shape or type.
    """
    config = network.config.to_dict() if hasattr(network.config, "to_dict") else dict(network.config)
    state = network.state_dict()
    shapes = {own: tuple(state[name].shape) for name, own in own_names(path, state).items()}
    best: tuple[Layout, dict[str, Piece]] | None = None
    most = 0
    for layout in layouts:
        wanted = {own: _placed(layout, own, config, average) for own in shapes}
        pieces = {own: piece for own, piece in wanted.items() if piece is not None}
        if (count := sum(piece.name in names for piece in pieces.values())) > most:
            best, most = (layout, pieces), count
    if best is None:
        return None
    layout, pieces = best
    if absent := sorted(shapes.keys() - pieces.keys()):
        raise EngineError(f"{path}: no name is known for {part}'s {absent[0]}: save the model as a folder in diffusers")
    if lost := sorted({piece.name for piece in pieces.values()} - names.keys()):
        raise EngineError(
            f"{path} has {most} of the weights of {part}, and {len(lost)} are missing ({lost[0]}): it is not whole, or "
            f"{_other_shape(lender)}"
        )
    for own, piece in pieces.items():
        _check(path, part, piece, names[piece.name], shapes[own], lender)
    spare: frozenset[str] = frozenset()
    if layout.piece is open_clip and "text_projection.weight" not in shapes:  # which reads the layer before the last
        last = f"{layout.prefix}transformer.resblocks.{config['num_hidden_layers']}."
        spare = frozenset(name for name in names if name.startswith(last))
    return Found({own: (piece, shapes[own]) for own, piece in pieces.items()}, spare)


def read_part(path: Path, found: Found) -> dict[str, torch.Tensor]:
    """A part's weights by the network's own names, in the precision of the file.

    Raises
    ------
    EngineError
        A weight is NaN or infinite: names it.
    """
    weights = {}
    with open_safetensors(path) as file:
        for own, (piece, shape) in found.pieces.items():
            value = file.get_tensor(piece.name)
            if not is_finite(value):
                raise EngineError(f"{path}: {piece.name} holds NaN or infinity: take an earlier checkpoint")
            weights[own] = piece.of(value, shape).clone()
    return weights


def _placed(layout: Layout, own: str, config: Mapping[str, Any], average: bool) -> Piece | None:
    piece = layout.piece(own, config)
    if piece is None:
        return None
    name = layout.prefix + piece.name
    if average and layout.prefix == DENOISER:
        name = averaged(name)
    return Piece(name, piece.rows, piece.turned, piece.swapped)


def _check(path: Path, part: str, piece: Piece, found: Entry, shape: tuple[int, ...], lender: Path | None) -> None:
    if found.dtype not in TYPES:
        raise EngineError(
            f"{path}: {piece.name} is of type {found.dtype}; expected one of {', '.join(TYPES)}: take the model's copy "
            "that is not quantized"
        )
    if not piece.fits(found.shape, shape):
        raise EngineError(
            f"{path}: {piece.name} is {list(found.shape)}, which gives no {list(shape)} of {part}: it is "
            f"{_other_shape(lender)}"
        )


def _other_shape(lender: Path | None) -> str:
    """Of what a file is whose weights are not those that a configuration asks for, and what to do."""
    if lender is None:
        return "of another shape of this family; then give a pipeline folder with its configurations by `parts_from`"
    return (
        f"of another family or shape than {lender}, whose configurations were taken (`parts_from`): give a folder of "
        "the file's own model, or leave `parts_from` out where the file is whole and of a published shape"
    )

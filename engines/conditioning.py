"""What a denoiser is told beside latents and time: a few named tensors, whose names and shapes a family defines.

| name     | of one batch row       | what it holds                                                       |
|----------|------------------------|---------------------------------------------------------------------|
| text     | [tokens, dimensions]   | embeddings of the prompt's tokens                                   |
| pooled   | [dimensions]           | one embedding of the whole prompt (SDXL, SD 3, FLUX)                |
| time_ids | [6]                    | size and crop that SDXL is told, in pixels                          |
| guidance | []                     | the guidance scale, of models that guidance was distilled into      |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

#: Each tensor float32, with equally many batch rows.
Conditioning = Mapping[str, torch.Tensor]
#: The shape of one batch row of each tensor, in the order in which a denoiser takes them.
Shapes = Mapping[str, Sequence[int]]


def empty(shapes: Shapes, rows: int, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """Conditioning of zeros."""
    return {name: torch.zeros(rows, *shape, device=device) for name, shape in shapes.items()}


def gauss(
    shapes: Shapes, rows: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
) -> dict[str, torch.Tensor]:
    """Conditioning of random numbers, for measuring; the generator is of that device."""
    return {name: torch.randn(rows, *shape, device=device, generator=generator) for name, shape in shapes.items()}


def chosen(conditioning: Conditioning, rows: int | slice | list[int] | torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Some of the rows; one number gives one row without its axis, and None gives that its axis again."""
    return {name: value[rows] for name, value in conditioning.items()}


def joined(parts: Sequence[Conditioning]) -> dict[str, torch.Tensor]:
    """The rows of several, one after the other."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def moved(conditioning: Conditioning, device: torch.device | str) -> dict[str, torch.Tensor]:
    """The same on a device."""
    return {name: value.to(device) for name, value in conditioning.items()}


def in_precision(conditioning: Conditioning, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The same as a denoiser's products take it.

    The guidance scale stays in float32: denoisers multiply it by a thousand, where half precision has whole numbers.
    """
    return {name: value if name == "guidance" else value.to(dtype) for name, value in conditioning.items()}


def with_guidance(conditioning: Conditioning, guidance: float) -> dict[str, torch.Tensor]:
    """The same with another guidance scale, where it is an input of the denoiser."""
    given = dict(conditioning)
    if "guidance" in given:
        given["guidance"] = torch.full_like(given["guidance"], guidance)
    return given

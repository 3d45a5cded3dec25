"""Where one weight of a network lies in a checkpoint: a tensor, some of its rows, or its two halves exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Rows of a tensor that holds three: queries, keys, values.
QUERY, KEY, VALUE = (0, 1, 3), (1, 2, 3), (2, 3, 3)


@dataclass(frozen=True)
class Piece:
    """A tensor of a file by name, and what of it a weight is.

    Attributes
    ----------
    rows
        (start, stop, of): from the start-th to the stop-th of so many equal parts of the rows; None for all.
    turned
        Whether rows and columns are exchanged.
    swapped
        Whether the two halves of the rows are exchanged: shift and scale in the models' own code are scale and shift
        in diffusers.
    """

    name: str
    rows: tuple[int, int, int] | None = None
    turned: bool = False
    swapped: bool = False

    def fits(self, found: Sequence[int], shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape gives a weight of that one; a convolution of one pixel is a matrix."""
        rows = list(found)
        if self.rows is not None:
            start, stop, of = self.rows
            if not rows or rows[0] % of:
                return False
            rows[0] = rows[0] // of * (stop - start)
        if self.turned:
            rows.reverse()
        return rows in ([*shape], [*shape, 1, 1]) and not (self.swapped and rows[0] % 2)

    def of(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """The weight, of the shape that the network has."""
        if self.rows is not None:
            start, stop, of = self.rows
            part = len(tensor) // of
            tensor = tensor[start * part : stop * part]
        if self.turned:
            tensor = tensor.T
        if self.swapped:
            tensor = torch.cat(tensor.chunk(2)[::-1])
        return tensor.reshape(tuple(shape)).contiguous()

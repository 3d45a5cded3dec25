"""Any number of rows goes through a call of one static batch: cut, filled and joined."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from engines.calls import in_batches


@given(n=st.integers(0, 20), size=st.integers(1, 7))
def test_batches_are_cut_filled_and_joined(n: int, size: int) -> None:
    seen = []

    def double(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return 2 * x

    x = torch.arange(float(n)).reshape(n, 1)
    torch.testing.assert_close(in_batches(double, size, x), 2 * x)
    assert set(seen) <= {size}


def test_a_reused_buffer_is_copied_out() -> None:
    buffer = torch.zeros(2, 1)
    out = in_batches(lambda x: buffer.copy_(x), 2, torch.arange(6.0).reshape(6, 1))
    torch.testing.assert_close(out, torch.arange(6.0).reshape(6, 1))
    first = in_batches(lambda x: buffer.copy_(x), 2, torch.ones(2, 1))
    in_batches(lambda x: buffer.copy_(x), 2, torch.zeros(2, 1))
    assert (first == 1).all()

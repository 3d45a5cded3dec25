"""The patch code is white, and its components explain the most."""

from __future__ import annotations

from pathlib import Path

import torch

from gen.builtin.data import phantoms, to_tensor
from gen.builtin.model import LATENT_CHANNELS, LATENT_SIZE, PATCH
from gen.builtin.patch_code import fit_code

LATENT = (LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)


def test_the_code_is_white_and_keeps_the_most_that_a_patch_can(tmp_path: Path) -> None:
    """Unit variance without correlation; of all four numbers a patch, its components restore it best."""
    data = phantoms(2, 7)
    x = to_tensor(data.images)
    code, whole = (fit_code(data, PATCH, n) for n in (LATENT_CHANNELS, 3 * PATCH**2))
    z = code.encode(x)
    assert z.shape == (len(x), *LATENT)
    torch.testing.assert_close(torch.cov(z.movedim(1, 0).flatten(1)), torch.eye(LATENT_CHANNELS), atol=1e-3, rtol=0)
    torch.testing.assert_close(whole.encode(x)[:, :LATENT_CHANNELS], z)
    largest = whole.basis.gather(0, whole.basis.abs().argmax(0, keepdim=True))
    assert (largest > 0).all()  # a component and its opposite are alike: which one comes is the processor's choice
    left = [_unexplained(x, whole.encode(x)[:, i : i + LATENT_CHANNELS]) for i in (0, 1)]
    assert left[0] < left[1]
    assert _unexplained(x, whole.encode(x)) < 1e-6
    first = fit_code(data, PATCH, LATENT_CHANNELS, tmp_path / "code.safetensors")
    again = fit_code(data, PATCH, LATENT_CHANNELS, tmp_path / "code.safetensors")
    assert torch.equal(first.basis, again.basis)


def _unexplained(x: torch.Tensor, z: torch.Tensor) -> float:
    """Mean square of the patches of x that no linear function of their codes z gives."""
    patches = torch.nn.functional.pixel_unshuffle(x, PATCH).movedim(1, -1).flatten(0, 2)
    codes = z.movedim(1, -1).flatten(0, 2)
    known = torch.cat([codes, torch.ones(len(codes), 1)], 1)
    fitted = known @ torch.linalg.lstsq(known, patches).solution
    return float((patches - fitted).square().mean())

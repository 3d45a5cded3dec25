"""The names in checkpoints are those that diffusers' own converters read, and every tensor of a file has its place."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils as theirs
from family_pipelines import PIPELINES
from single_files import own_weights, part_tensors, pieces, sd

from engines.checkpoint.skeleton import empty_network, parts_of, read_family
from engines.models import families
from engines.models.transformer import T5XXL
from engines.single_file import names_ldm
from engines.single_file.piece import Piece

SMALL: dict[str, Callable[[Path], Path]] = {name: PIPELINES[name] for name in ("sdxl", "sd3", "flux-dev")}
SMALL |= {"sd1": sd, "sd2": lambda folder: sd(folder, second=True)}


@pytest.fixture(scope="module", params=SMALL)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SMALL[request.param](tmp_path_factory.mktemp(request.param))


def convert(family: str, part: str, prefix: str, tensors: dict[str, torch.Tensor], network: Any) -> dict[str, Any]:
    """What diffusers makes of a checkpoint's tensors."""
    config, given = network.config, dict(tensors)
    if part == "unet":
        found = theirs.convert_ldm_unet_checkpoint(given, config)
    elif part == "vae":
        found = theirs.convert_ldm_vae_checkpoint(given, config)
    elif part == "transformer" and family == "sd3":
        found = theirs.convert_sd3_transformer_checkpoint_to_diffusers(given)
    elif part == "transformer":
        found = theirs.convert_flux_transformer_checkpoint_to_diffusers(given)
    elif prefix == T5XXL:
        found = theirs.convert_sd3_t5_checkpoint_to_diffusers(given)
    elif prefix.endswith(".model."):
        found = theirs.convert_open_clip_checkpoint(network, given, prefix=prefix)
    else:
        found = theirs.convert_ldm_clip_checkpoint(given, remove_prefix=prefix)
    return dict(found)


def test_diffusers_converters_give_the_weights_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, for every part in every layout that diffusers reads."""
    family = read_family(folder)
    split = torch.split
    if family.name == "flux":  # whose converter knows one width alone, that of FLUX.1
        width = empty_network(folder, "transformer").config
        inner = width.num_attention_heads * width.attention_head_dim
        monkeypatch.setattr(
            torch, "split", lambda value, sizes, dim: split(value, [n // 3072 * inner for n in sizes], dim=dim)
        )
    for part in parts_of(folder):
        expected, network = own_weights(folder, part), empty_network(folder, part)
        for layout in family.layouts[part]:
            if layout.piece.__name__ == "early_transformers":
                continue
            got = convert(family.name, part, layout.prefix, part_tensors(folder, part, layout), network)
            assert got.keys() == expected.keys(), (part, layout.prefix)
            torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_every_row_of_every_tensor_is_asked_for(folder: Path) -> None:
    for part in parts_of(folder):
        for layout in read_family(folder).layouts[part]:
            of: dict[str, list[tuple[int, int, int]]] = {}
            for piece in pieces(folder, part, layout).values():
                of.setdefault(piece.name, []).append(piece.rows or (0, 1, 1))
            for name, rows in of.items():
                ends = [Fraction(0), *(Fraction(stop, n) for _, stop, n in sorted(rows))]
                assert [Fraction(start, n) for start, _, n in sorted(rows)] == ends[:-1], name
                assert ends[-1] == 1, name


@pytest.mark.parametrize(
    ("piece", "found", "shape", "fits"),
    [
        (Piece("a"), (4, 3), (4, 3), True),
        (Piece("a"), (4, 3, 1, 1), (4, 3), True),
        (Piece("a"), (4, 3), (4, 3, 1, 1), False),
        (Piece("a"), (3, 4), (4, 3), False),
        (Piece("a", turned=True), (3, 4), (4, 3), True),
        (Piece("a", rows=(1, 2, 3)), (12, 5), (4, 5), True),
        (Piece("a", rows=(3, 7, 7)), (14, 5), (8, 5), True),
        (Piece("a", rows=(1, 2, 3)), (13, 5), (4, 5), False),
        (Piece("a", rows=(1, 2, 3)), (), (4, 5), False),
        (Piece("a", swapped=True), (5,), (5,), False),
    ],
)
def test_a_tensor_fits_where_it_gives_the_shape(
    piece: Piece, found: tuple[int, ...], shape: tuple[int, ...], fits: bool
) -> None:
    assert piece.fits(found, shape) is fits
    if fits:
        assert piece.of(torch.zeros(found), shape).shape == shape


def test_a_name_that_is_not_known_has_no_place() -> None:
    config = {"layers_per_block": 2, "num_layers": 1, "up_block_types": ["UpBlock2D"]}
    layouts = [layout for one in families().values() for some in one.layouts.values() for layout in some]
    named = {one.piece for one in layouts if not one.piece.__module__.endswith("names_text")} - {names_ldm.vae}
    assert len(named) == 3
    assert all(one("odd_blocks.0.weight", config) is None for one in named)

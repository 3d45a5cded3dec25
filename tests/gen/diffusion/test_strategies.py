"""Strategies: what the paper redraws is redrawn, and kept pixels are kept to the last bit, by either UNet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionInpaintPipeline
from PIL import Image
from torchvision.transforms.functional import center_crop

from dermforge.common.errors import UserError
from engines import Engine
from gen.diffusion import noise, strategies
from gen.plan import masks
from gen.plan.parents import Parents
from gen.plan.plan import Plan, PlanRow, from_rows
from gen.sampling.run_record import describe
from gen.sampling.sampler import Sampler
from shards.format.reader import ShardSet
from shards.ingest.folder import open_data

STRATEGIES = ("image-to-image", "inpaint", "outpaint", "inpaint-outpaint")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of other shapes than the model's, with masks beside them."""
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for name, shape in (("a", (80, 96, 3)), ("b", (64, 64, 3))):
        (folder / "images" / "plaque").mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).save(folder / "images" / "plaque" / f"{name}.png")
        mask = np.zeros(shape[:2], dtype=np.uint8)
        mask[20:40, 30:50] = 255
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(folder / "masks" / f"plaque-{name}.png")  # by the ids that shards gives
    return folder


def parents_of(photos: Path) -> Parents:
    return Parents(open_data(photos / "images"), photos / "images", photos / "masks")


def rows_of(photos: Path, mask: str = "centre", strategy_names: tuple[str, ...] = STRATEGIES) -> Plan:
    ids = sorted(parents_of(photos).rows["id"])
    return from_rows(
        {
            "id": f"{s}-{i}",
            "class": "plaque",
            "group": "dark",
            "strategy": s,
            "prompt": "An image of plaque, dark skin",
            "parent": i,
            "solver": "ddim",
            "steps": 4,
            "size": 64,
            **({} if s == "image-to-image" else {"mask": mask}),
        }
        for s in strategy_names
        for i in ids
    )


def sampled(engine: Engine, plan: Plan, folder: Path, parents: Parents) -> None:
    Sampler(engine, plan, folder, describe(engine, plan, "s"), parents).run([0])


@pytest.mark.parametrize("unet", ["text", "inpaint"])
@pytest.mark.parametrize("mask", ["centre", "lesion", "ellipse"])
def test_kept_pixels_are_kept_exactly(
    photos: Path, open_engine: Callable[..., Engine], tmp_path: Path, unet: str, mask: str
) -> None:
    """An autoencoder alone would change all of them; every output names its parent and strategy."""
    plan, parents = rows_of(photos, mask), parents_of(photos)
    sampled(open_engine(unet), plan, tmp_path, parents)
    made = ShardSet.open(tmp_path)
    assert made.n == len(plan)
    for sample, pixels in made.images():
        row = next(r for r in plan.rows() if r.id == sample.id)
        assert (sample.parent, sample.strategy, sample.cluster) == (row.parent, row.strategy, row.parent)
        before = parents.image(row.parent or "", 64)
        lesion = parents.lesion(row.parent or "", 64)
        redrawn = {
            "image-to-image": lambda r: np.ones((64, 64), dtype=bool),
            "inpaint": lambda r: r,
            "outpaint": lambda r: ~r,
            "inpaint-outpaint": lambda r: ~masks.frame(64),
        }[row.strategy](masks.for_word(row.mask or "centre", 64, row.seed, row.id, lesion))
        np.testing.assert_array_equal(pixels[~redrawn], before[~redrawn])
        changed = (pixels != before).any(axis=2)
        assert changed[redrawn].mean() > 0.9, (row.strategy, changed[redrawn].mean())


@pytest.mark.parametrize("unet", ["text", "inpaint"])
def test_inpaints_what_diffusers_inpaints(
    photos: Path, pipelines: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path, unet: str
) -> None:
    """By an inpainting UNet and by blending latents: diffusers' pixels within the mask, from the same noise."""
    parents = parents_of(photos)
    records: list[Any] = rows_of(photos, "centre", ("inpaint",)).frame.to_dict("records")
    plan = from_rows({**{k: v for k, v in row.items() if v != ""}, "strength": 1.0} for row in records)
    sampled(open_engine(unet), plan, tmp_path, parents)
    parts = DiffusionPipeline.from_pretrained(pipelines[unet], safety_checker=None).components
    pipeline = StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    region, drawn = masks.centre(64), {s.id: pixels for s, pixels in ShardSet.open(tmp_path).images()}
    white = Image.fromarray(region.astype(np.uint8) * 255)
    for row in plan.rows():
        start = torch.from_numpy(noise.normal(row.seed, row.id, noise.START, (1, 4, 8, 8)))
        theirs = pipeline(
            row.prompt,
            Image.fromarray(parents.image(row.parent or "", 64)),
            white,
            strength=1.0,
            num_inference_steps=row.steps,
            guidance_scale=row.guidance,
            latents=start,
            height=64,
            width=64,
            output_type="np",
        ).images[0]
        assert np.abs(drawn[row.id].astype(float) - np.round(theirs * 255))[region].max() <= 2


@pytest.mark.parametrize("unet", ["text", "inpaint"])
def test_a_redrawn_image_is_the_same_whoever_is_drawn_beside_it(
    photos: Path, open_engine: Callable[..., Engine], tmp_path: Path, unet: str
) -> None:
    """One, two or all eight in a call, in both phases of the chain: the same file to the byte."""
    plan, engine = rows_of(photos, "ellipse"), open_engine(unet)
    records: list[Any] = [{k: v for k, v in row.items() if v != ""} for row in plan.frame.to_dict("records")]
    drawn: list[dict[str, bytes]] = []
    for number, some in enumerate((records, records[3:5], records[-1:])):
        sampled(engine, from_rows(some), tmp_path / str(number), parents_of(photos))
        drawn.append({s.id: data for s, data in ShardSet.open(tmp_path / str(number)).samples()})
    together, *apart = drawn
    assert [len(images) for images in drawn] == [8, 2, 1]
    assert all(together[name] == data for images in apart for name, data in images.items())


def test_parents_are_scaled_and_cut_as_their_masks(photos: Path) -> None:
    """The middle square of a photograph at the model's size, as torchvision cuts it; white stays where it was."""
    parents, name = parents_of(photos), "plaque-a"
    whole = Image.open(photos / "images" / "plaque" / "a.png")
    scaled = whole.resize((round(96 * 64 / 80), 64), Image.Resampling.LANCZOS)
    expected = center_crop(scaled, [64, 64])
    np.testing.assert_array_equal(parents.image(name, 64), np.asarray(expected))
    y, x = np.nonzero(parents.lesion(name, 64))
    left = (round(96 * 64 / 80) - 64) // 2
    corners = np.array([y.min(), y.max() + 1, x.min() + left, x.max() + 1 + left]) * 80 / 64
    np.testing.assert_allclose(corners, [20, 40, 30, 50], atol=1.25)  # a pixel of the small one


def test_the_chain_is_the_papers() -> None:
    """Inpaint at 0.97, then outpaint around the kept centre and a 16 px frame at 0.95."""
    row = PlanRow.model_validate(
        {"id": "a", "class": "x", "prompt": "x", "parent": "p", "size": 512, "strategy": "inpaint-outpaint"}
    )
    first, second = strategies.phases(row)
    assert (first.strength, second.strength) == (0.97, 0.95)
    assert first.mask is not None
    assert second.mask is not None
    np.testing.assert_array_equal(first.mask, masks.centre(512))
    np.testing.assert_array_equal(second.mask, ~masks.centre(512) & ~masks.frame(512))


@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (lambda f: (f / "images/plaque/a.png").write_bytes(b"no image"), "not a JPEG"),
        (lambda f: truncate(f / "images/plaque/a.png"), "parent plaque-a in .*broken"),
        (lambda f: (f / "masks/plaque-a.png").unlink(), "no mask"),
        (lambda f: Image.new("L", (8, 8)).save(f / "masks/plaque-a.png"), "8 x 8 pixels"),
        (lambda f: (f / "images/plaque/a.png").write_bytes(huge_png()), "100000 x 100000"),
    ],
)
def test_a_bad_parent_is_found_before_anything_is_drawn(
    photos: Path, tmp_path: Path, break_it: Callable[[Path], object], word: str
) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(photos, folder)
    parents = parents_of(folder)
    plan = rows_of(folder, "lesion")
    parents.check(plan.frame["parent"], plan.frame["parent"])
    break_it(folder)
    with pytest.raises(UserError, match=word):
        parents.check(plan.frame["parent"], plan.frame["parent"])


def test_parents_of_a_test_set_are_refused(photos: Path) -> None:
    parents = parents_of(photos)
    with pytest.raises(UserError, match="not in"):
        parents.check(["stranger"])
    parents.rows = parents.rows.assign(split="test")
    with pytest.raises(UserError, match="leak"):
        parents.usable()


def truncate(path: Path) -> None:
    """A copy that was cut off: the header is whole, and the pixels are not."""
    path.write_bytes(path.read_bytes()[:9000])


def huge_png() -> bytes:
    """A PNG whose header promises 10 gigapixels."""
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))

"""Sets of images: opened as a table with images behind it, and mixed as the dataset of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dermforge.common.errors import UserError
from shards.format.reader import ImageSet
from shards.ingest.folder import open_data
from shards.mixing.dataset import MixedStream, Source, Transform


def open_shards(location: str | Path, *, table: str | Path | None = None) -> ImageSet:
    """Open shards, a bucket of shards, or a plain folder of images.

    Parameters
    ----------
    location
        Folder, or an address such as `s3://bucket/folder`.
    table
        CSV, TSV, parquet or JSON Lines file that says what the images of a plain folder are. None: the one in the
        folder or next to it; without one, sub-folders are classes.

    Returns
    -------
    ImageSet
        `rows` is a DataFrame with a row for each image; `image_at(i)` gives a `Sample` and its image as RGB, uint8
        [height, width, 3]; `where(cls=..., group=..., origin=...)` selects. No image is read before it is asked for.

    Raises
    ------
    ValueError
        There are no images, a table does not fit its folder, or a shard is damaged.

    Examples
    --------
    >>> import dermforge
    >>> images = dermforge.open_shards("demo/phantoms/test")
    >>> dark = images.where(group="dark")
    >>> dark.rows["class"].nunique()
    6
    >>> sample, pixels = dark.image_at(0)
    >>> sample.group, pixels.shape
    ('dark', (64, 64, 3))
    """
    return open_data(location, None if table is None else Path(table))


def mix(
    sources: Mapping[str, str | Path | ImageSet],
    *,
    global_batch: int,
    weights: Mapping[str, float] | None = None,
    size: int | None = None,
    transform: Transform | None = None,
    steps: int | None = None,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> MixedStream:
    """Mix several sets of images in an exact ratio, as a dataset that yields batches for training.

    Parameters
    ----------
    sources
        Sets of images by name, open or by location; the first one's classes hold for all.
    global_batch
        Images in each step over all ranks; a multiple of `world_size`.
    weights
        Share of each source in every batch, relative to the others. None: all alike.
    size
        Side in pixels to which the centre square of each image is resized. None: images as they are stored.
    transform
        Applied to each image, uint8 [3, height, width]; its random numbers depend on the position only.
    steps
        Batches in an epoch. None: one pass over the first source without synthetic images.
    seed
        Seed of the order.
    rank, world_size
        This process and the number of processes, in training on several GPUs.

    Returns
    -------
    MixedStream
        A `torch.utils.data.IterableDataset` that yields a `Batch` of images, labels, ids and sources. `set_epoch`,
        `state_dict` and `load_state_dict` move and resume it, `report()` says how often each source is drawn.

    Raises
    ------
    ValueError
        `weights` names another source, a set holds no images or other classes, or a number is out of range.

    Examples
    --------
    >>> import dermforge
    >>> stream = dermforge.mix(
    ...     {"real": "demo/phantoms/train", "synthetic": "demo/shards"},
    ...     weights={"real": 1, "synthetic": 3},
    ...     global_batch=32,
    ...     size=64,
    ... )
    >>> batch = next(iter(stream))
    >>> batch.images.shape, (batch.sources == 1).sum().item()
    (torch.Size([32, 3, 64, 64]), 24)
    """
    shares = dict.fromkeys(sources, 1.0) if weights is None else dict(weights)
    if set(shares) != set(sources):
        raise UserError(f"weights for {', '.join(shares)}; expected one for each source: {', '.join(sources)}")
    opened = {name: one if isinstance(one, ImageSet) else open_data(one) for name, one in sources.items()}
    return MixedStream(
        [Source(images, shares[name], name) for name, images in opened.items()],
        global_batch,
        seed=seed,
        steps=steps,
        rank=rank,
        world_size=world_size,
        size=size,
        transform=transform,
    )

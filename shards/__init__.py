"""Shards of images: written whole or not at all, read without surprises, mixed exactly."""

from typing import TYPE_CHECKING, Any

from dermforge.common.errors import CheckFailed, UserError
from shards.format.commit_local import finished
from shards.format.images import decode_image, encode_image
from shards.format.interop import write_info
from shards.format.reader import ImageSet, ShardSet
from shards.format.schema import Sample, Sidecar
from shards.format.writer import ShardSetWriter, ShardWriter, write_shard
from shards.ingest.folder import FolderSet, open_data

if TYPE_CHECKING:
    from shards.mixing.dataset import ExactPass, Item, MixedStream, Source

__all__ = [
    "CheckFailed",
    "ExactPass",
    "FolderSet",
    "ImageSet",
    "Item",
    "MixedStream",
    "Sample",
    "ShardSet",
    "ShardSetWriter",
    "ShardWriter",
    "Sidecar",
    "Source",
    "UserError",
    "decode_image",
    "encode_image",
    "finished",
    "open_data",
    "write_info",
    "write_shard",
]


def __getattr__(name: str) -> Any:
    """Streams need torch, whose import takes seconds that `shards ls` need not wait."""
    if name in ("ExactPass", "Item", "MixedStream", "Source"):
        from shards.mixing import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module 'shards' has no attribute {name!r}")

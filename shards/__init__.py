"""Shards of images: written whole or not at all, read without surprises, mixed exactly."""

from typing import TYPE_CHECKING, Any

from dermforge.common.errors import CheckFailed, UserError
from shards.commit import finished
from shards.folder import FolderSet, open_data
from shards.images import decode_image, encode_image
from shards.index import write_info
from shards.reader import ImageSet, ShardSet
from shards.schema import Sample, Sidecar
from shards.writer import ShardSetWriter, ShardWriter, write_shard

if TYPE_CHECKING:
    from shards.mixing import ExactPass, Item, MixedStream, Source

__all__ = [
    "CheckFailed", "ExactPass", "FolderSet", "ImageSet", "Item", "MixedStream", "Sample", "ShardSet",
    "ShardSetWriter", "ShardWriter", "Sidecar", "Source", "UserError", "decode_image", "encode_image", "finished",
    "open_data", "write_info", "write_shard",
]


def __getattr__(name: str) -> Any:
    """Streams need torch, whose import takes seconds that `shards ls` need not wait."""
    if name in ("ExactPass", "Item", "MixedStream", "Source"):
        from shards import mixing

        return getattr(mixing, name)
    raise AttributeError(f"module 'shards' has no attribute {name!r}")

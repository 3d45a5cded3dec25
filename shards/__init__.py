"""Shards of images: writing, reading, verifying and exact mixing."""

from typing import TYPE_CHECKING

from dermforge.common.lazy import lazy_names

__all__ = [
    "Batch",
    "CheckFailed",
    "FolderSet",
    "ImageSet",
    "Mark",
    "MixedStream",
    "Provenance",
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
    "mark_of",
    "open_data",
    "write_info",
    "write_shard",
]

if TYPE_CHECKING:
    from dermforge.common.errors import CheckFailed, UserError
    from shards.format.commit_local import finished
    from shards.format.find_mark import mark_of
    from shards.format.images import decode_image, encode_image
    from shards.format.interop import write_info
    from shards.format.mark import Mark
    from shards.format.provenance import Provenance
    from shards.format.reader import ImageSet, ShardSet
    from shards.format.schema import Sample, Sidecar
    from shards.format.writer import ShardSetWriter, ShardWriter, write_shard
    from shards.ingest.folder import FolderSet, open_data
    from shards.mixing.dataset import Batch, MixedStream, Source
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "dermforge.common.errors": ["CheckFailed", "UserError"],
            "shards.format.commit_local": ["finished"],
            "shards.format.find_mark": ["mark_of"],
            "shards.format.images": ["decode_image", "encode_image"],
            "shards.format.interop": ["write_info"],
            "shards.format.mark": ["Mark"],
            "shards.format.provenance": ["Provenance"],
            "shards.format.reader": ["ImageSet", "ShardSet"],
            "shards.format.schema": ["Sample", "Sidecar"],
            "shards.format.writer": ["ShardSetWriter", "ShardWriter", "write_shard"],
            "shards.ingest.folder": ["FolderSet", "open_data"],
            "shards.mixing.dataset": ["Batch", "MixedStream", "Source"],
        },
    )

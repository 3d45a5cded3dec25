"""Shards of images: written whole or not at all, read without surprises, mixed exactly."""

from shards.errors import CheckFailed, UserError
from shards.images import decode_image, encode_image
from shards.mixing import ExactPass, Item, MixedStream, Source
from shards.reader import ImageSet, ShardSet, finished
from shards.schema import Sample, Sidecar
from shards.writer import ShardSetWriter, ShardWriter, write_info, write_shard

__all__ = [
    "CheckFailed", "ExactPass", "ImageSet", "Item", "MixedStream", "Sample", "ShardSet", "ShardSetWriter",
    "ShardWriter", "Sidecar", "Source", "UserError", "decode_image", "encode_image", "finished", "write_info",
    "write_shard",
]

"""Shards of images: written whole or not at all, read without surprises, mixed exactly."""

from shards.errors import CheckFailed, UserError
from shards.images import decode_image, encode_image
from shards.reader import ImageSet, ShardSet, finished
from shards.schema import Sample, Sidecar
from shards.writer import ShardSetWriter, ShardWriter, write_info, write_shard

__all__ = [
    "CheckFailed", "ImageSet", "Sample", "ShardSet", "ShardSetWriter", "ShardWriter", "Sidecar", "UserError",
    "decode_image", "encode_image", "finished", "write_info", "write_shard",
]

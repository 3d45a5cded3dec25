"""One shard: its schema, its tar, how it is written, committed and read."""

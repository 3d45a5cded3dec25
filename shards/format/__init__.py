"""One shard: its schema and its tar; how it is written, committed and read."""

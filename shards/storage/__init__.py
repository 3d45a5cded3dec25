"""Where shards are stored: a folder or a bucket."""

"""Where shards lie: a folder or a bucket."""

"""What is done with shards that are there: verify, select, purge, repair, diff, describe."""

"""Converts images of other tools and data sets into shards."""

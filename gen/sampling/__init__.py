"""A plan through an engine into shards: resumable, by any number of workers."""

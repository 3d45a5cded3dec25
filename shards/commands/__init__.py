"""The commands of `shards`, a module each."""

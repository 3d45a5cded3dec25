"""What to generate: a table, one row per image."""

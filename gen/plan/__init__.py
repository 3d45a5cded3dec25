"""What to generate: a table with one row for each image."""

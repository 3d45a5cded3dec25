"""Images that were found, written as shards without duplicates across splits."""

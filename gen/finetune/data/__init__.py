"""What a fine-tuning step learns from."""

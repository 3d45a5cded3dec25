"""Skin tone measured in pictures."""

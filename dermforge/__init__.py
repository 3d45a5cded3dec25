"""Synthetic images of skin disease at full speed, and an honest answer to whether they help."""

__version__ = "0.1.0"

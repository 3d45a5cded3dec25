"""Synthetic skin-disease images at full speed, and an honest answer to whether they help."""

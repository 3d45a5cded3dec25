"""The images that a classifier is trained on, and in which order."""

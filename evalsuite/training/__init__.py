"""Train a timm classifier on real and synthetic images. A step is a function of (weights, step number) alone."""

"""A small decoder that learns what a pipeline's VAE decodes: where steps are few, decoding is much of the time."""

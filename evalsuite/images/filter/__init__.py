"""Keep the synthetic images that pass what real ones pass."""

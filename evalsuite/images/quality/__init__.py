"""Fidelity and diversity of synthetic images: features, one file a metric, tables of equal-sized cells."""

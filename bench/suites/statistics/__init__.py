"""Simulations of the fairness suite: what its intervals hold and how often it raises a false alarm."""

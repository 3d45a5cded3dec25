"""Tuning a pipeline on real images: full, LoRA or textual inversion; the result is a pipeline folder with its lineage.

A step's draws (which images, crop, noise, timestep) are a pure function of the seed and the step, so a run has no
random state: it goes on after a kill as if nothing had been, and N processes do the same steps as one.
"""

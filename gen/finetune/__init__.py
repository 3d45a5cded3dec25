"""Tuning a pipeline on real images: full, LoRA or textual inversion; the result is a pipeline folder with its lineage.

What a step draws (images, crops, noise, timesteps) is a pure function of the seed and the step, so a run has no random
state: killed and resumed it ends in the same bits, and N processes do the same steps as one.
"""

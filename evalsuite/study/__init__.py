"""Many trained classifiers compared: arms, doses, sizes, seeds."""

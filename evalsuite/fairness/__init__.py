"""The subgroup card of a table of predictions, by any model."""

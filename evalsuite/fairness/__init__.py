"""The subgroup card of anybody's predictions."""

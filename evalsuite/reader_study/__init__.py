"""A blinded reading of real and synthetic images by people: the set, the page, the analysis."""

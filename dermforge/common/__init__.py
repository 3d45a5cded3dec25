"""The ground floor: what all packages share. It imports none of them."""

"""Other people's code on the same work."""

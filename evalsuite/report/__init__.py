"""Reports: one HTML file without any network, and the same as JSON and CSV."""

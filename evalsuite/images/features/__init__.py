"""What turns images into features, and where features are kept."""

"""What the tables of a data set say of its images."""

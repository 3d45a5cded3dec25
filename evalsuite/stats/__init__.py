"""Statistics of the card: intervals, DeLong, resampling, calibration, shrinkage, multiplicity. One idea a file."""

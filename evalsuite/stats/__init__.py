"""Statistics of the suite: intervals, resampling, tests and estimates, one idea in each file."""

"""Are synthetic images copies of training images? Search, calibration by unseen real images, rates."""

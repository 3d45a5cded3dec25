"""Copies of training images among synthetic ones: search, calibration by unseen real images, rates."""

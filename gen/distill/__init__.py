"""Distillation: a student that draws in few steps what a pipeline draws in many, taught on its training images."""

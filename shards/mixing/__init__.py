"""Streams of several sources in an exact order."""

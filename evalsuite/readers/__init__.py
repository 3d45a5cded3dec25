"""Readers with and without help: multi-reader multi-case (MRMC) analysis."""

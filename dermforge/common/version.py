"""The version of the project: in reports, sidecars and `--version`."""

__version__ = "0.1.0"

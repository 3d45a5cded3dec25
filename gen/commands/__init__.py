"""The commands of `gen`: options in, calls of the library, a summary out."""

from pathlib import Path

DEFAULT_BUNDLE = Path("bundle")


def listed(text: str | None) -> list[str] | None:
    """A comma-separated option."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]

"""Where the weights of a pipeline came from, as its `dermforge.json` and bundles of it say."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class WeightsSource(BaseModel):
    """Where the weights of a pipeline came from, where that is more than its folder.

    Attributes
    ----------
    file, sha256, kind
        The single file that was converted, and what it was taken for; None of a folder.
    variant
        The copies of the weights that were chosen; None for the plain ones.
    plain
        The parts of a folder that had no such copy.
    prediction_type
        What a person said that the UNet predicts; None where the file or its family says it.
    parts_from, lent
        A folder that was given for a single file, and the parts and tokenizers that it lent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str | None = None
    sha256: str | None = None
    kind: str | None = None
    variant: str | None = None
    plain: list[str] = []
    prediction_type: str | None = None
    parts_from: str | None = None
    lent: list[str] = []

    def in_words(self) -> str:
        """One line for people."""
        words = [f"{self.file} (sha256 {str(self.sha256)[:16]}, {self.kind})"] if self.file else ["the pipeline folder"]
        words += [f"variant {self.variant}"] if self.variant else []
        words += [f"plain weights of {', '.join(self.plain)}"] if self.plain else []
        words += [f"said to predict {self.prediction_type}"] if self.prediction_type else []
        words += [f"{', '.join(self.lent) or 'configurations'} of {self.parts_from}"] if self.parts_from else []
        return "; ".join(words)

"""`gen distill` as a user runs it, in this process."""

from __future__ import annotations

import finetune_helpers
import pytest

from gen.commands.distill import distill


def run(monkeypatch: pytest.MonkeyPatch, **options: object) -> int:
    """The command as the console runs it, by default for prompts of the class alone; its exit status."""
    return finetune_helpers.run(monkeypatch, distill, **options)

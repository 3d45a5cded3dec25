"""The limits that go with every report."""

from __future__ import annotations

from evalsuite.report.methods import limits


def test_limits_say_what_phantoms_are() -> None:
    """A drawing must not be taken for a patient."""
    assert "not patients" in limits(phantoms=True)[0]
    assert len(limits(phantoms=False)) == len(limits(phantoms=True)) - 1

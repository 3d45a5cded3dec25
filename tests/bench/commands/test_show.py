"""Results for people: no two names look alike, and what is undefined is said in words."""

from __future__ import annotations

import io
import math

import pytest
import torch

from bench.commands.show import number, show
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord, Measurement
from dermforge.common import console


def test_no_two_names_look_alike_on_a_narrow_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich would cut both to the same first letters; the whole name must stand there, on two lines if need be."""
    text = io.StringIO()
    monkeypatch.setattr(console, "out", console.new_console(file=text, width=60))
    names = [f"train/test_resnet_with_a_long_name/{who}" for who in ("bare", "ours")]
    found = [
        Measurement(name=name, unit="training images/s", samples=[1.0], details={"parameters": 9}) for name in names
    ]
    show(BenchmarkRecord(command="train", facts=describe(torch.device("cpu")), measurements=found))
    column = "".join(line.split("│")[1].strip() for line in text.getvalue().splitlines() if line.startswith("│"))
    assert column == "".join(names)


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, "not enough data"), (0.5, "0.5"), (12345.6, "12,346"), (1e-5, "1.000e-05"), (0.0, "0")],
)
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    """Undefined is said in words, never as 0."""
    assert number(value) == text

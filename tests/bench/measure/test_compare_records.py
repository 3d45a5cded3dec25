"""Comparing results: a change beyond noise is found, noise is not a change, too few samples say so."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.compare_records import compare, differing_facts, only_in_one
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord, Measurement

FACTS = describe(torch.device("cpu"))


def record(better: Literal["higher", "lower", "neither"] = "higher", **samples: list[float]) -> BenchmarkRecord:
    found = [Measurement(name=n, unit="x", better=better, samples=s) for n, s in samples.items()]
    return BenchmarkRecord(command="engine", facts=FACTS, measurements=found)


@pytest.mark.parametrize(("better", "verdict"), [("higher", "better"), ("lower", "worse"), ("neither", "changed")])
def test_a_change_beyond_noise_is_named_by_its_direction(
    better: Literal["higher", "lower", "neither"], verdict: str
) -> None:
    """Twice as much is better for a rate and worse for a time."""
    a, b = record(better, m=[1.0, 1.01, 0.99, 1.02, 1.0]), record(better, m=[2.0, 2.1, 1.9, 2.02, 2.0])
    (change,) = compare(a, b)
    assert change.verdict == verdict
    assert change.ratio == pytest.approx(2.0)


def test_noise_is_no_change() -> None:
    """Of many comparisons of equal distributions about one in twenty is called a change, not more."""
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(300):
        a, b = (record(m=list(rng.normal(1.0, 0.05, 6))) for _ in range(2))
        called += compare(a, b, least=0)[0].verdict != "same"
    assert called / 300 < 0.08


def test_a_small_but_certain_change_is_left_out() -> None:
    """One part in a hundred is not worth a line."""
    a, b = record(m=[1.0, 1.0001, 1.0002, 1.0003]), record(m=[1.01, 1.0101, 1.0102, 1.0103])
    assert compare(a, b)[0].verdict == "same"


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=3), st.lists(st.floats(0.1, 10), min_size=1, max_size=9))
def test_too_few_samples_say_so(few: list[float], more: list[float]) -> None:
    """Three repeats cannot tell a change from noise, whatever they are."""
    assert compare(record(m=few), record(m=more))[0].verdict == "not enough data"


def test_what_else_differs_is_said() -> None:
    """Two devices or versions are compared with that in view, and measurements of one only are not lost."""
    other = BenchmarkRecord(
        command="engine",
        settings={"steps": 50},
        facts=FACTS.model_copy(update={"device": "H200"}),
        measurements=record(b=[1.0]).measurements,
    )
    one = record(a=[1.0])
    assert set(differing_facts(one, other)) == {"device", "steps"}
    assert only_in_one(one, other) == ["a", "b"]

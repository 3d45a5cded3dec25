"""Metric keys and their texts."""

from __future__ import annotations

import pytest

from evalsuite.fairness.metric_key import MetricKey


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("accuracy", MetricKey("accuracy")),
        ("auroc:plaque", MetricKey("auroc", cls="plaque")),
        ("sensitivity@group", MetricKey("sensitivity", "group")),
        ("sensitivity@global:a:b@c", MetricKey("sensitivity", "global", "a:b@c")),
        ("specificity:odd@name", MetricKey("specificity", cls="odd@name")),
    ],
)
def test_text_and_key_go_both_ways(text: str, key: MetricKey) -> None:
    """Names of classes may hold any sign."""
    assert MetricKey.parse(text) == key
    assert str(key) == text
    assert MetricKey.parse(key) is key


def test_labels_are_what_a_reader_knows() -> None:
    assert MetricKey("sensitivity", "group").label(0.9) == "sensitivity at 90% specificity, own threshold"
    assert MetricKey("sensitivity", "global").label() == "sensitivity at fixed specificity, one threshold"
    assert MetricKey("macro_f1").label() == "macro F1"

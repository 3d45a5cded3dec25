"""Which names a publisher is warned of."""

from __future__ import annotations

from dermforge.common.clear_names import in_clear, warning


def test_names_of_photographs_are_named_and_others_are_not() -> None:
    entries = ["IMG-0012", None, "x" + "0a" * 12, "phantom-[0000000000-0000000399]-plaque-tan", "x12", "", "IMG-0012"]
    assert in_clear(entries) == ["IMG-0012", "x12"]


def test_the_warning_is_one_line_with_a_few_names() -> None:
    text = warning([f"IMG-{i}" for i in range(9)], "tuned/dermforge.json")
    assert text.startswith("tuned/dermforge.json holds 9 names")
    assert "IMG-2 ...)" in text
    assert "\n" not in text

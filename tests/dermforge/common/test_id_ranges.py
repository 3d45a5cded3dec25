"""The lineage guard depends on these two functions: an id that they miss is a leak."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.id_ranges import count, expand, in_words, overlap, unrecorded


@given(st.sets(st.integers(0, 9999)), st.integers(0, 9999), st.integers(0, 9999))
def test_a_range_covers_its_numbers_and_no_others(numbers: set[int], a: int, b: int) -> None:
    low, high = min(a, b), max(a, b)
    ids = [f"phantom-{n:04d}-plaque-tan" for n in sorted(numbers)]
    lineage = [f"phantom-[{low:04d}-{high:04d}]-plaque-tan"]
    assert overlap(ids, lineage) == [i for i in ids if low <= int(i.split("-")[1]) <= high]
    assert count(lineage) == high - low + 1 == len(list(expand(lineage)))
    assert overlap(expand(lineage), lineage) == list(expand(lineage))


def test_plain_ids_and_other_cells() -> None:
    lineage = ["patient-7_a", "phantom-[0000-0009]-plaque-tan"]
    assert overlap(["patient-7_a", "patient-7_b", "phantom-0003-plaque-dark", "phantom-3-plaque-tan"], lineage) == [
        "patient-7_a"
    ]
    assert count(lineage) == 11


@given(st.integers(0, 3), st.lists(st.sampled_from(["a", "b"]), max_size=2))
def test_words_count_nothing_that_is_not_recorded(n: int, files: list[str]) -> None:
    words = in_words([*(f"id-{k}" for k in range(n)), *map(unrecorded, files)])
    assert ("none recorded" in words) == (not n and not files)
    assert (f"{n} real images" in words) == bool(n)
    assert all(name in words for name in files)

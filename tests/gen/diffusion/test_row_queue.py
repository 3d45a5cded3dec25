"""Row packing: full batches, every row once, first come first served."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gen.diffusion.row_queue import BatchRow, RowQueues


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=12), st.integers(1, 9))
def test_every_row_runs_once_and_no_batch_is_short_before_the_end(images: list[list[bool]], rows: int) -> None:
    """Images (lists of guided or not, a step each) at different steps share batches of any size."""
    queue, step, ran, batches = RowQueues.of(1), dict.fromkeys(range(len(images)), 0), [], []
    for slot, guided in enumerate(images):
        queue.push(slot, guided[0])
    while len(queue):
        waiting = len(queue)
        _, batch = queue.take(rows)
        assert len(batch) == min(rows, waiting)
        batches.append(len(batch))
        ran += [(row, step[row.slot]) for row in batch]
        for slot in queue.done(batch):
            step[slot] += 1
            if step[slot] < len(images[slot]):
                queue.push(slot, images[slot][step[slot]])
    expected = {
        (BatchRow(i, c), s)
        for i, guided in enumerate(images)
        for s, g in enumerate(guided)
        for c in (True, False)
        if c or g
    }
    assert len(ran) == len(set(ran))
    assert set(ran) == expected


def test_a_guided_image_is_done_after_its_second_row() -> None:
    queue = RowQueues.of(1)
    for slot in range(2):
        queue.push(slot, guided=True)
    assert queue.done(queue.take(3)[1]) == [0]
    assert queue.done(queue.take(3)[1]) == [1]

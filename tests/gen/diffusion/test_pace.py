"""A device is kept a few steps behind, and its time is counted by its own clock."""

from __future__ import annotations

import pytest

from gen.diffusion.pace import AHEAD, Pace


class Device:
    """Works off what it was given when somebody waits for it, or when it is told to; its clock moves only then."""

    def __init__(self) -> None:
        self.now, self.marks = 0.0, list[Mark]()

    def mark(self) -> Mark:
        self.marks.append(Mark(self))
        return self.marks[-1]

    def work_until(self, mark: Mark) -> None:
        for one in self.marks[: self.marks.index(mark) + 1]:
            if one.time is None:
                self.now += one.takes
                one.time = self.now


class Mark:
    """takes: seconds from what was queued before to what this mark stands behind."""

    def __init__(self, device: Device) -> None:
        self.device, self.takes, self.time = device, 0.0, None  # type: Device, float, float | None

    def wait(self) -> None:
        self.device.work_until(self)

    def reached(self) -> bool:
        return self.time is not None

    def since(self, earlier: Mark) -> float:
        assert self.time is not None
        assert earlier.time is not None
        return self.time - earlier.time


def step(device: Device, pace: Pace, seconds: float) -> Mark:
    with pace.step():
        pass
    end = device.marks[-1]
    end.takes = seconds
    return end


def test_no_more_than_two_steps_are_unfinished() -> None:
    device = Device()
    pace = Pace(device.mark)
    ends = [step(device, pace, 1.0) for _ in range(10)]
    assert [end.reached() for end in ends] == [True] * (10 - AHEAD) + [False] * AHEAD
    pace.restart()
    assert all(end.reached() for end in ends)
    assert pace.take() == (10.0, 0.0)


def test_standing_still_is_counted_only_where_nothing_was_queued() -> None:
    """Between two steps that follow each other in the queue a decoder may run: the device works."""
    device = Device()
    pace = Pace(device.mark)
    pace.last.wait()
    device.work_until(step(device, pace, 1.0))
    device.now += 5.0  # nothing to do
    step(device, pace, 1.0)
    decoder = device.mark()
    decoder.takes = 3.0
    second = step(device, pace, 1.0)
    device.work_until(second)
    pace.restart()
    worked, stood = pace.take()
    assert worked == pytest.approx(3.0)
    assert stood == pytest.approx(5.0)

"""What `gen sample` shows while it runs: images a second and the time left; with -v, also a line for each stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn

from dermforge.common import console
from gen.sampling.progress import STAGES, StageProgress

Show = Callable[[list[StageProgress]], None]
INTERVAL_S = 10.0


@contextmanager
def bar(images: int) -> Iterator[Show]:
    """One bar for the run."""
    with console.progress("sampling", images) as tick:
        yield lambda stages: tick()


@contextmanager
def lines(images: int) -> Iterator[Show]:
    """The bar and, below it, a line for each stage; where there is no terminal, those lines every ten seconds."""
    if console.err.is_terminal:
        with _on_terminal(images) as show:
            yield show
        return
    with console.progress("sampling", images) as tick:
        last = time.monotonic()

        def plain(stages: list[StageProgress]) -> None:
            nonlocal last
            tick()
            if time.monotonic() - last >= INTERVAL_S:
                last = time.monotonic()
                for stage in stages:
                    console.err.print(f"  {stage.name}: {describe(stage)}", soft_wrap=True)

        yield plain


@contextmanager
def _on_terminal(images: int) -> Iterator[Show]:
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), console=console.err
    )
    whole = bars.add_task("sampling", total=images, note="")
    tasks = {name: bars.add_task(f"  {name}", total=1.0, note="") for name in STAGES}
    start, done = time.monotonic(), 0

    def show(stages: list[StageProgress]) -> None:
        nonlocal done
        done += 1
        seconds = time.monotonic() - start
        rate, left = console.rate_text(done, seconds), (images - done) * seconds / done
        bars.update(whole, advance=1, note=f"{done}/{images}, {rate}, {left:.0f} s left")
        for stage in stages:
            bars.update(tasks[stage.name], completed=min(stage.busy, 1.0), note=describe(stage))

    with bars:
        yield show


def describe(stage: StageProgress) -> str:
    """`120 images, busy 35%`."""
    return f"{stage.images} images, busy {stage.busy:.0%}"

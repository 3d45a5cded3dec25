"""What the numbers of a split allow, in words: lines of `shards make`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dermforge.common.least_numbers import AUDIT_PATIENTS, FILTER_CLASS, FILTER_VALIDATION, GROUP_IMAGES

if TYPE_CHECKING:
    import pandas as pd

    from shards.ingest.write.what_numbers_allow import Numbers, Proposal


def allowed(numbers: Numbers) -> Iterator[str]:
    """What each command can do with these images."""
    held, tested = numbers.images["validation"], numbers.patients
    yield "what these numbers allow:"
    yield f"  evalsuite filter: {_may(held, FILTER_VALIDATION, 'validation images')}"
    if numbers.atypical:
        few = ", ".join(f"{name} ({numbers.classes[name]})" for name in numbers.atypical)
        yield f"    it cannot tell what is typical of {few}: {FILTER_CLASS} training images are the least"
    yield f"  evalsuite privacy: {_may(tested, AUDIT_PATIENTS, 'patients in test')}"
    yield f"  evalsuite study: {_sizes(numbers)}"
    if tested:
        yield f"  an accuracy on the test images: within {100 * numbers.half_width:.0f} points at the widest"
    if numbers.untested:
        yield f"  no test images, and so no answer, for {', '.join(numbers.untested)}"
    if numbers.groups:
        short = [f"{name} ({n})" for name, n in numbers.groups.items() if name not in numbers.judged]
        few = f"; not for {', '.join(short)}: {GROUP_IMAGES} test images of each are the least" if short else ""
        yield f"  verdicts by skin type: {', '.join(numbers.judged) or 'none'}{few}"


def advice(rows: pd.DataFrame, numbers: Numbers, better: Proposal | None, named: bool) -> Iterator[str]:
    """What to do about it, before a generator is tuned.

    Parameters
    ----------
    named
        Whether the data name splits, which --split leaves as they are.
    """
    from shards.ingest.write.what_numbers_allow import needed, needed_for_groups

    if better:
        shares, n = ",".join(f"{share:g}" for share in better.shares), better.numbers.images
        gain = "lets every command run" if not numbers.ends else "allows more verdicts"
        judged = f", verdicts for {', '.join(better.numbers.judged)}" if better.numbers.judged else ""
        parts = ", ".join(f"{count} {name}" for name, count in n.items())
        yield f"--split {shares} {gain} ({parts}{judged}): make a new folder with it, before a generator is tuned"
        yield from _costs(numbers, better.numbers)
    elif not numbers.ends and named:
        yield "the splits that the data name do not let every command run: change them before a generator is tuned"
    elif not numbers.ends and len(numbers.classes) > 1:
        images, patients = needed(rows)
        have = rows["cluster"].nunique()
        more = f"about {images} images of {patients} patients are needed"
        few = f"more patients are needed: some of the {have} have too large a share of the images"
        yield f"no split of these images lets every command run: {more if patients > have else few}"
    best = better.numbers if better else numbers
    if len(best.judged) < len(best.groups) and best.images["test"]:
        yield f"verdicts for every skin type need about {needed_for_groups(rows, best)} images like these"


def _costs(now: Numbers, then: Numbers) -> Iterator[str]:
    """What a proposed split takes away."""
    if then.study < now.study:
        yield f"  it leaves a study up to {then.study} real images per class, and not {now.study}"
    if unknown := [name for name in then.atypical if name not in now.atypical]:
        yield f"  with it evalsuite filter cannot tell what is typical of {', '.join(unknown)} either"


def _may(has: int, least: int, what: str) -> str:
    return f"yes, with {has} {what}" if has >= least else f"no, {has} {what}; {least} are the least"


def _sizes(numbers: Numbers) -> str:
    """The numbers of real images per class, and the synthetic images that the largest asks for."""
    if not numbers.study:
        lacking = [f"{name} images" for name, n in numbers.images.items() if not n]
        lacking += [f"training images of {name}" for name, n in numbers.classes.items() if not n]
        lacking += ["a second class"] if len(numbers.classes) == 1 else []
        return f"no, it lacks {', '.join(lacking)}"
    sizes, most = ",".join(map(str, numbers.sizes)), numbers.sizes[-1]
    asks = f"a ratio of 10 with {most} asks for {10 * most} synthetic images per class"
    return f"yes, up to {numbers.study} real images per class, such as --n-real {sizes}; {asks}"

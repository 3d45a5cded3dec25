"""Pictures of results: rate over batch rows, share of the ceiling, time per stage, time as the work grows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np

from bench.measure.record import BenchmarkRecord, Measurement
from bench.measure.timing import spread

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes


def write(results: Sequence[BenchmarkRecord], folder: Path) -> list[Path]:
    """Write an SVG picture of each kind of measurement in the results."""
    folder.mkdir(parents=True, exist_ok=True)
    every = [m for record in results for m in record.measurements]
    kinds = {
        "rows": ("rows/", _rows),
        "ceiling": ("component/", _shares),
        "whole": ("whole/", _whole),
        "stages": ("stage/", _stages),
        "growth": ("growth/", _growth),
    }
    written = []
    for name, (prefix, picture) in kinds.items():
        mine = [m for m in every if m.name.startswith(prefix)]
        if mine:
            figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
            picture(axes, mine)
            device = next(r.facts.device for r in results if mine[0] in r.measurements)
            axes.set_title(device, fontsize=9, loc="left")
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None})
            plt.close(figure)
            written.append(path)
    return written


def _rows(axes: Axes, found: Sequence[Measurement]) -> None:
    for name in dict.fromkeys(m.name.split("/")[1] for m in found):
        mine = [m for m in found if m.name.split("/")[1] == name]
        rows = [int(m.details["rows"] or 0) for m in mine]
        axes.plot(rows, [m.median for m in mine], marker="o", label=name)
        bands = [spread(m.samples) for m in mine]
        axes.fill_between(rows, [low for low, _ in bands], [high for _, high in bands], alpha=0.2)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("rows of one denoiser call")
    axes.set_ylabel("denoiser rows/s")
    axes.set_ylim(bottom=0)
    each = int(found[0].details["rows/image"] or 1)
    images = axes.secondary_yaxis("right", functions=(partial(np.multiply, 1 / each), partial(np.multiply, each)))
    images.set_ylabel(f"images/s, denoising alone, {each} rows an image")
    axes.legend()


def _shares(axes: Axes, found: Sequence[Measurement]) -> None:
    names = [m.name.removeprefix("component/") for m in found]
    axes.barh(names, [100 * float(m.details["share"] or 0) for m in found])
    axes.invert_yaxis()
    axes.set_xlabel("% of the matmul ceiling measured in the same run")


def _whole(axes: Axes, found: Sequence[Measurement]) -> None:
    reach = [spread(m.samples) for m in found]
    errors = [
        [m.median - low for m, (low, _) in zip(found, reach, strict=True)],
        [high - m.median for m, (_, high) in zip(found, reach, strict=True)],
    ]
    axes.barh([m.name.removeprefix("whole/") for m in found], [m.median for m in found], xerr=errors)
    axes.invert_yaxis()
    axes.set_xlabel("images/s, prompts to pixels")


def _stages(axes: Axes, found: Sequence[Measurement]) -> None:
    axes.barh([m.name.removeprefix("stage/") for m in found], [1000 * m.median for m in found])
    axes.invert_yaxis()
    axes.set_xlabel("ms per image that each stage worked (stages overlap)")


def _growth(axes: Axes, found: Sequence[Measurement]) -> None:
    images = [int(m.details["images"] or 0) for m in found]
    times = [m.median for m in found]
    axes.loglog(images, times, marker="o", label="measured")
    axes.loglog(images, [times[0] * n / images[0] for n in images], linestyle="--", label="in proportion")
    axes.set_xlabel("images")
    axes.set_ylabel("s")
    axes.legend()

"""An engine from a bundle, and images from it in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engines.engine import Engine
from engines.loader import load
from gen.plan.grid import few_steps, settings_from
from gen.plan.parents import Parents
from gen.plan.plan import from_rows, records, with_defaults
from gen.plan.validate_plan import check
from gen.sampling.in_memory import sample_images
from shards.ingest.folder import open_data


def load_engine(
    bundle: str | Path,
    *,
    backend: str | None = None,
    device: str | None = None,
    rows: int | None = None,
    threads: int | None = None,
) -> Engine:
    """Load an engine bundle, which `dermforge gen build-engine` makes of a diffusers pipeline.

    Parameters
    ----------
    bundle
        Folder of the bundle.
    backend
        onnxruntime, tensorrt, tensorrt-rtx or torch. None: the one that the bundle was built for.
    device
        cpu or cuda (onnxruntime also: tensorrt). None: the backend's own.
    rows
        Batch rows of one denoiser call. None: what was fastest when the bundle was built.
    threads
        CPU threads. None: one for each core.

    Returns
    -------
    Engine
        Its `spec` has the classes, skin types and image size of the model.

    Raises
    ------
    ValueError
        There is no bundle, a file was altered, or the bundle is for another backend, device or GPU.

    Examples
    --------
    >>> import dermforge
    >>> engine = dermforge.load_engine("demo/bundle")
    >>> engine.spec.size, engine.spec.classes[:2]
    (64, ['annulus', 'macule'])
    """
    return load(Path(bundle), backend, device=device, rows=rows, threads=threads)


def generate(
    engine: Engine,
    rows: pd.DataFrame | Iterable[Mapping[str, Any]],
    *,
    parents: str | Path | None = None,
    masks: str | Path | None = None,
) -> NDArray[np.uint8]:
    """Generate an image for each plan row; the pixels are those of `gen sample` with the same plan.

    Parameters
    ----------
    engine
        From `load_engine`.
    rows
        A DataFrame, such as a plan that `gen plan` wrote, or mappings. Each row needs a `class`; the other columns of
        a plan have defaults: `group` (skin type), `prompt` (the model's own), `seed` (0), `steps` (20), `guidance` (3),
        `solver`, `strategy` and so on. Without an `id` it gets one from its number, class and group; an image depends
        on its id and seed.
    parents
        Shards or a folder of the real images that the rows' `parent` column names, for strategies that start from one.
    masks
        Folder of the parents' lesion masks, `<id>.png`.

    Returns
    -------
    ndarray
        RGB images in the order of the rows, uint8 [n, size, size, 3].

    Raises
    ------
    ValueError
        A row is not valid, its parent is missing, or the engine makes images of another size or kind.

    Warns
    -----
    UserWarning
        The model was not trained on a class or skin type, or a prompt is longer than it reads.

    Examples
    --------
    >>> import dermforge
    >>> engine = dermforge.load_engine("demo/bundle")
    >>> images = dermforge.generate(engine, [{"class": "plaque", "group": "dark", "steps": 4}] * 3)
    >>> images.shape, images.dtype
    ((3, 64, 64, 3), dtype('uint8'))
    """
    given = records(rows) if isinstance(rows, pd.DataFrame) else rows
    usual = few_steps(engine.spec, engine.base is not None)
    settings = settings_from(None, {"size": engine.spec.size}, usual)
    full = list(with_defaults(given, settings.row_defaults(engine.spec.prompt_template)))
    plan = from_rows(full, "rows")
    real = None if parents is None else Parents(open_data(parents), parents, None if masks is None else Path(masks))
    for warning in check(plan, engine, real):
        warnings.warn(warning, stacklevel=2)
    images = sample_images(engine, plan.rows(), real)
    place = {name: position for position, name in enumerate(plan.frame["id"])}
    return images[[place[row["id"]] for row in full]]

"""Measures of images, as tables: skin tone, quality and copies of training images."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from evalsuite.images.features.names import DEFAULT_EXTRACTORS
from evalsuite.images.image_data import ImageSource
from evalsuite.images.privacy.audit import audit_copies
from evalsuite.images.quality.quality_report import measure_quality
from evalsuite.images.tone.tone_report import measure_tone


def tone(images: ImageSource, *, reference: ImageSource | None = None, cuts: str = "del-bino") -> pd.DataFrame:
    """Measure the typology angle (ITA) of each image on bare skin, next to the skin type that was requested.

    The numbers are those of `evalsuite tone`; `evalsuite.images.tone.tone_report.measure_tone` also gives the table of
    cells and the verdict.

    Parameters
    ----------
    images
        Shards or a folder of images by location, an open set, or an array uint8 [n, height, width, 3].
    reference
        Real images, measured too: only the sentence in `attrs` needs them.
    cuts
        ITA cut-points: `del-bino`, or five falling angles in degrees with commas between them.

    Returns
    -------
    DataFrame
        One row for each image, by `id`; `attrs["verdict"]` is a sentence on the whole set.

    Raises
    ------
    ValueError
        A set holds no images, or the cut-points are unknown.

    Examples
    --------
    >>> import dermforge
    >>> table = dermforge.tone("demo/phantoms/test")
    >>> table.groupby("group")["ita"].median().idxmin()
    'dark'
    """
    report = measure_tone(images=images, reference=reference, cuts=cuts)
    return _with_verdict(report.images, report.sentence)


def quality(
    real: ImageSource,
    synthetic: ImageSource,
    *,
    extractors: Sequence[str] = DEFAULT_EXTRACTORS,
    max_n: int = 5000,
    resamples: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare synthetic with real images: fidelity, diversity, precision and recall.

    The numbers are those of `evalsuite quality`; `evalsuite.images.quality.quality_report.measure_quality` also gives
    the accuracy scores and the distances of each image.

    Parameters
    ----------
    real, synthetic
        As for `tone`. Real images that the generator has not seen are the fair comparison.
    extractors
        Feature spaces by name. The default ones need no weights, and no number is called FID.
    max_n
        Most images of each side in a cell.
    resamples
        Bootstrap resamples of each interval.
    seed
        Seed of subsets and resamples.

    Returns
    -------
    DataFrame
        One row for each metric of each cell: value, interval and number of images; `attrs["verdict"]` is a sentence on
        the whole set.

    Raises
    ------
    ValueError
        A set holds no images, or an extractor cannot be opened.

    Examples
    --------
    >>> import dermforge
    >>> table = dermforge.quality("demo/phantoms/test", "demo/shards", extractors=["colour-structure"], resamples=10)
    >>> table.loc[table["family"] == "overall", "metric"].iloc[0]
    'KD[colour-structure]'
    """
    report = measure_quality(
        real=real, synthetic=synthetic, extractors=extractors, max_n=max_n, resamples=resamples, seed=seed
    )
    return _with_verdict(report.cells, report.sentence)


def privacy(
    train: ImageSource,
    synthetic: ImageSource,
    *,
    test: ImageSource | None = None,
    false_alarms: float = 0.01,
    extractors: Sequence[str] = (),
) -> pd.DataFrame:
    """Find synthetic images that are copies of training images.

    The numbers are those of `evalsuite privacy`; `evalsuite.images.privacy.audit.audit_copies` also gives the rates
    and what shows that the audit works.

    Parameters
    ----------
    train
        The real images that the generator was trained on, as for `tone`.
    synthetic
        The images that it made.
    test
        Real images of the same source that the generator has not seen; they set the threshold. None: training images
        do, which is stricter where they hold duplicates.
    false_alarms
        Share of unseen real images that may be called copies, from 0 to 1.
    extractors
        Feature spaces by name, in addition to the pixels.

    Returns
    -------
    DataFrame
        One row for each synthetic image: its nearest training image, its score, the threshold, and whether it is a
        `copy`; `attrs["verdict"]` is a sentence on the whole set.

    Raises
    ------
    ValueError
        A set holds no images, there are too few unseen images, or a test image is also a training image.

    Examples
    --------
    >>> import dermforge
    >>> table = dermforge.privacy("demo/phantoms/train", "demo/shards", test="demo/phantoms/test")
    >>> table["copy"].dtype
    dtype('bool')
    """
    audit = audit_copies(train=train, synthetic=synthetic, test=test, false_alarms=false_alarms, extractors=extractors)
    return _with_verdict(audit.images, audit.sentence)


def _with_verdict(table: pd.DataFrame, sentence: str) -> pd.DataFrame:
    table.attrs["verdict"] = sentence
    return table

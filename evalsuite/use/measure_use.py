"""From two sets of images to a certificate of use."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from dermforge.common.use_certificate import ImagesUsed, UseCertificate
from evalsuite.images.features.extract import Features, Preprocess, extract
from evalsuite.images.features.extractors import Extractor
from evalsuite.images.image_data import Track, image_side, untracked
from evalsuite.images.tone.cut_points import CUTS
from evalsuite.images.tone.tone_table import image_table
from evalsuite.stats import equivalence
from evalsuite.study.run_arms import Options
from evalsuite.training.data import datasets, held_out
from evalsuite.training.data.generators import generators
from evalsuite.training.data.open_splits import open_splits
from evalsuite.use import gain_kept
from evalsuite.use.comparison import Comparison, judged
from evalsuite.use.copies_kept import copies_kept
from evalsuite.use.diversity import diversity
from evalsuite.use.gain_kept import Trial
from evalsuite.use.margins import DEFAULTS, Margins
from evalsuite.use.not_itself import refuse_itself
from evalsuite.use.recognised import Recognition, recognise
from evalsuite.use.same_plan import Noting, Pair, same_plan, used
from evalsuite.use.tone_kept import tone_kept
from shards import open_data
from shards.format.schema import created_by
from shards.ingest.refuse_marked import refuse_marked


@dataclass(frozen=True)
class Sets:
    """Where the images are.

    Attributes
    ----------
    real
        A folder with train/, validation/ and test/: what the classifiers learn from and are tested on.
    reference
        Real images that recall and coverage are measured against; None: those of test/.
    tuned_on
        Real images that the generators were tuned on, which are searched for copies; None: those of train/.
    """

    teacher: Path
    student: Path
    real: Path
    reference: Path | None = None
    tuned_on: Path | None = None


@dataclass(frozen=True)
class Settings:
    """How they are compared.

    Attributes
    ----------
    draws
        Half samples of each interval.
    max_n
        Most images of a side in a comparison of recall, coverage and Vendi score.
    control
        Planted copies of each kind.
    """

    margins: Margins = field(default_factory=lambda: Margins(DEFAULTS))
    draws: int = 200
    max_n: int = 1000
    control: int = 20
    seed: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class UseReport:
    """The certificate, and what its page shows beside the rows.

    Attributes
    ----------
    recognition
        By the first extractor.
    copies
        What the audit of copies said; empty where there was none.
    """

    certificate: UseCertificate
    recognition: Recognition
    copies: str


def measure_use(
    sets: Sets,
    extractors: Sequence[Extractor],
    trial: Trial,
    settings: Settings = Settings(),
    *,
    folder: Path | None = None,
    options: Options = Options(),
    track: Track = untracked,
) -> UseReport:
    """Compare a student's images with its teacher's, and both with real ones.

    Parameters
    ----------
    extractors
        Feature spaces in which images are recognised and compared; every one has rows of its own.
    trial
        How the classifiers of the gain are trained; no seeds: the gain is not measured.
    folder
        Keeps features and trained arms for the next call; None: a temporary folder.

    Raises
    ------
    UserError
        The sets are not of one plan, a generator is compared with itself, a set is missing, or a generator saw images
        that it must not.
    """
    pair = same_plan(open_data(sets.teacher), open_data(sets.student))
    refuse_itself(pair)
    splits = open_splits(sets.real)
    reference = splits.test if sets.reference is None else open_data(sets.reference)
    tuned_on = splits.train if sets.tuned_on is None else open_data(sets.tuned_on)
    for images in (reference, tuned_on):
        refuse_marked(images, "real images")
    both = datasets.Places(real=sets.real, synthetic=(sets.teacher, sets.student), size=trial.recipe.size)
    leakage = _leakage(both, options.allow_leakage)
    with tempfile.TemporaryDirectory() as scratch:
        keep = folder or Path(scratch)
        step = Preprocess(min(image_side(pair.teacher), image_side(pair.student)))
        rows: list[Comparison] = []
        recognitions = []
        for network in extractors:
            parts = [
                extract(data, network, step, keep / "features", track=track)
                for data in (splits.train, splits.test, reference, pair.teacher, pair.student)
            ]
            recognitions.append(_recognised(parts, pair, tuned_on.rows))
            varied = diversity(*parts[2:], max_n=settings.max_n, draws=settings.draws, seed=settings.seed)
            rows += [_by(network, one, len(extractors)) for one in (*recognitions[-1].compare(), *varied)]
        noting = [Noting(side) for side in (pair.teacher, pair.student)]
        tones = [image_table(data, CUTS["del-bino"], track, "tone") for data in noting]
        rows += tone_kept(
            tones[0], tones[1], tuned_on.rows, paired=pair.paired, draws=settings.draws, seed=settings.seed
        )
        lineage = [one for seen in generators([pair.teacher, pair.student])[0] for one in seen]
        copies = copies_kept(
            pair,
            tuned_on,
            splits.test,
            lineage,
            control=settings.control,
            seed=settings.seed,
            folder=keep / "features",
            track=track,
        )
        gains, ratio = _gains(sets, pair, keep / "arms", trial, options)
        rows += [copies.row, *gains]
    found = judged(rows, settings.margins.of.__getitem__)
    student = used(pair.student, noting[1].settings)
    real = {"train": used(splits.train), "test": used(splits.test)}
    extra = {"reference": sets.reference and used(reference), "tuned on": sets.tuned_on and used(tuned_on)}
    certificate = UseCertificate(
        bundle=student.bundles[0] if len(student.bundles) == 1 else "",
        verdict=equivalence.whole([row.verdict for row in found]),
        confidence=equivalence.confidence_of(),
        fail_confidence=equivalence.confidence_of(len(found)),
        teacher=used(pair.teacher, noting[0].settings),
        student=student,
        real=real | {name: part for name, part in extra.items() if isinstance(part, ImagesUsed)},
        cells=noting[1].cells(),
        rows=tuple(found),
        margins_sha256=settings.margins.sha256,
        extractors={network.name: network.digest for network in extractors},
        classifier=trial.recipe.summary() if trial.seeds else "",
        seeds=trial.seeds,
        ratio=ratio,
        notes=(*settings.notes, *_notes(pair)),
        leakage=tuple(leakage),
        created_by=created_by(),
    )
    return UseReport(certificate, recognitions[0], copies.sentence)


def _leakage(places: datasets.Places, allow: bool) -> list[str]:
    """Each set by itself: their ids are those of one plan, so that they are no two sets of one study."""
    found = []
    for one in places.synthetic:
        data = datasets.open_data(places.model_copy(update={"synthetic": (one,)}))
        found += held_out.check_held_out(data, allow)
    return list(dict.fromkeys(found))


def _recognised(parts: Sequence[Features], pair: Pair, parents: pd.DataFrame) -> Recognition:
    train, test, _, teacher, student = parts
    return recognise(train, test, teacher, student, paired=pair.paired, parents=parents)


def _by(network: Extractor, one: Comparison, several: int) -> Comparison:
    """A comparison that names its feature space, where there are several."""
    return one if several == 1 else replace(one, cell=f"{one.cell} [{network.name}]")


def _gains(sets: Sets, pair: Pair, out: Path, trial: Trial, options: Options) -> tuple[list[Comparison], float]:
    if not trial.seeds:
        return [gain_kept.unmeasured()], 0.0
    tables, ratio = gain_kept.train(sets.real, {"teacher": sets.teacher, "student": sets.student}, out, trial, options)
    return list(gain_kept.compare(tables, pair.groups)), ratio


def _notes(pair: Pair) -> list[str]:
    """What a reader has to know of how the sets were compared."""
    if pair.paired:
        return []
    return ["Teacher and student have other ids, so that their images are compared as two sets and not in pairs."]

"""What a study left behind, as far as a checklist can use it: a run or study, a card, checks, a bundle, images.

What cannot be read is refused. What does not belong to the study, such as images that were changed after it, is left
out and noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.use_certificate import USE, UseCertificate, read_use_certificate
from evalsuite.page.image_check import SECTION, ImageCheck, read_check
from evalsuite.report.guidelines.bundle_record import MANIFEST, BundleRecord, read_bundle_record
from evalsuite.report.guidelines.card_record import CARD, CardRecord, read_card, record_of
from evalsuite.report.guidelines.quality_record import QUALITY, QualityCell, read_quality
from evalsuite.study.analysis import Analysis
from evalsuite.study.arm_images import digest
from evalsuite.study.run_findings import RunFindings
from evalsuite.training.data import datasets
from evalsuite.training.data.open_splits import Splits, open_splits
from shards import ImageSet, open_data
from shards.format.schema import SHARD, SPLITS

#: The commands that measure images, by the record that each leaves beside its section.
CHECKS = {
    QUALITY: "quality",
    "tone.json": "tone",
    "privacy.json": "privacy",
    "filter.json": "filter",
    "trial.json": "filter trial",
    "analysis.json": "reader study",
    USE: "use",
}
UNPROVEN = (
    "A card and the checks of images do not name the images that they judged by digest. That they are of this study's "
    "images is for the author to confirm."
)


@dataclass(frozen=True)
class Trial:
    """A run or a study: the name of its folder, the record that holds what is said of it, and what it found."""

    name: str
    record: str
    study: Analysis
    run: RunFindings | None = None


@dataclass(frozen=True)
class Check:
    """What a command measured on the images, and the folder it is from."""

    folder: str
    found: ImageCheck


@dataclass(frozen=True)
class Artefacts:
    """All that facts are drawn from.

    Attributes
    ----------
    card, card_from
        That of a folder, else that of the run's model with synthetic images; and where it is written.
    checks, quality
        By the command that made them; the cells of `evalsuite quality`.
    real, synthetic, external
        Images of the study that are there and as they were trained on; synthetic ones by their folder's name.
    notes
        What was left out, and why.
    """

    trial: Trial | None = None
    card: CardRecord | None = None
    card_from: str = ""
    checks: Mapping[str, Check] = field(default_factory=dict)
    quality: tuple[QualityCell, ...] = ()
    use: UseCertificate | None = None
    bundle: BundleRecord | None = None
    real: Splits | None = None
    synthetic: tuple[tuple[str, ImageSet], ...] = ()
    external: ImageSet | None = None
    notes: tuple[str, ...] = ()


def gather(trial: Trial | None, folders: Sequence[Path]) -> Artefacts:
    """Everything in a study's other folders, beside its run or study.

    Raises
    ------
    UserError
        A folder is of no kind that is known, two are of one kind, or a record is damaged.
    """
    kinds: dict[str, Path] = {}
    made: list[Path] = []
    for folder in folders:
        kind = kind_of(folder)
        if kind == "synthetic images":
            made.append(folder)
        elif kind in kinds:
            raise UserError(f"{kinds[kind]} and {folder} are both of one kind ({kind}); a checklist is of one study")
        else:
            kinds[kind] = folder
    images = _images_of(trial, kinds.get("real images"), made)
    bundle = read_bundle_record(kinds["bundle"]) if "bundle" in kinds else None
    notes, (card, card_from) = [*images.notes], _card(trial, kinds.get("card"))
    if bundle is not None and not _drew(bundle.digest, images.synthetic):
        notes.append(f"The bundle {bundle.name} drew none of the images that are given; nothing is said of it.")
        bundle = None
    use = read_use_certificate(kinds["use"] / USE)[0] if "use" in kinds else None
    if use is not None and not _drew(use.bundle, images.synthetic):
        notes.append("The certificate of use names no bundle that drew the images; nothing is said of it.")
        use, kinds = None, {kind: path for kind, path in kinds.items() if kind != "use"}
    checks = {k: Check(_name(p), read_check(p / SECTION)) for k, p in kinds.items() if k in CHECKS.values()}
    if checks or "card" in kinds:
        notes.append(UNPROVEN)
    return Artefacts(
        trial,
        card,
        card_from,
        checks,
        read_quality(kinds["quality"] / QUALITY) if "quality" in kinds else (),
        use,
        bundle,
        images.real,
        images.synthetic,
        images.external,
        tuple(notes),
    )


def kind_of(folder: Path) -> str:
    """What a folder holds; raises `UserError` where it is nothing that a checklist can use."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; expected a run, a study, a card, a check of images, a bundle or images")
    if (folder / SECTION).is_file():
        found = next((kind for record, kind in CHECKS.items() if (folder / record).is_file()), None)
        if found is None:
            raise UserError(f"{folder} has {SECTION} and none of {', '.join(CHECKS)}: run its command again")
        return found
    if (folder / CARD).is_file():
        return "card"
    if (folder / MANIFEST).is_file():
        return "bundle"
    if all((folder / split).is_dir() for split in SPLITS):
        return "real images"
    if any(SHARD.match(entry.name) for entry in folder.iterdir()):
        rows = open_data(folder).rows
        if (rows["origin"] == "synthetic").all():
            return "synthetic images"
        if set(SPLITS) <= set(rows["split"].dropna()):
            return "real images"
    raise UserError(
        f"{folder} holds nothing that a checklist can use; expected a folder of `evalsuite run`, `study`, `fairness`, "
        "`quality`, `tone`, `privacy`, `filter`, `reader-study` or `use`, an engine bundle, shards of synthetic "
        "images, or real images in train, validation and test"
    )


@dataclass(frozen=True)
class _Images:
    real: Splits | None = None
    synthetic: tuple[tuple[str, ImageSet], ...] = ()
    external: ImageSet | None = None
    notes: tuple[str, ...] = ()


def _images_of(trial: Trial | None, real: Path | None, made: Sequence[Path]) -> _Images:
    """The images that were given, else those that the plan names; of a trial only if they are those of its training."""
    if trial is None:
        return _Images(None if real is None else open_splits(real), tuple((_name(p), open_data(p)) for p in made))
    places = trial.study.design.places
    places = places.model_copy(update={"real": real or places.real, "synthetic": tuple(made) or places.synthetic})
    try:
        first = trial.study.results[0]
        same = digest(first.arm, datasets.open_data(places)) == first.digest
        synthetic = tuple((_name(p), open_data(p)) for p in places.synthetic)
        found = open_splits(places.real), synthetic, None if places.external is None else open_data(places.external)
    except (UserError, CheckFailed, OSError) as error:
        return _Images(notes=(f"The images of the study cannot be opened ({error}), so that nothing is said of them.",))
    if not same:
        changed = "The images are not those that the study was trained on, so that nothing is said of them: "
        return _Images(notes=(changed + "give the folders as they were then.",))
    return _Images(*found)


def _card(trial: Trial | None, folder: Path | None) -> tuple[CardRecord | None, str]:
    if folder is not None:
        return read_card(folder / CARD), f"{_name(folder)}/{CARD}"
    if trial is not None and trial.run is not None:
        return record_of(trial.run.cards["mix"]), f"{trial.name}/{trial.record}, card of real + synthetic"
    return None, ""


def _drew(bundle: str, synthetic: Sequence[tuple[str, ImageSet]]) -> bool:
    """Whether a bundle drew images of the sets; without sets it stands for itself."""
    drawn = {s.bundle_digest for _, images in synthetic for s in getattr(images, "sidecars", ())}
    return not synthetic or bundle in drawn


def _name(folder: Path) -> str:
    """A folder by its own name: a publication does not name the folders of a machine."""
    return folder.resolve().name

"""Facts of the real images: how many, of which classes and skin types, and what their parts share."""

from __future__ import annotations

from collections import Counter

from evalsuite.fairness.predictions import levels
from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.fact import Fact, listed
from evalsuite.training.data.open_splits import Splits
from shards import ImageSet, Sample

NO_GROUP = "no skin type"


def are_phantoms(found: Artefacts) -> bool:
    """Whether all real images are drawings with a known truth."""
    parts = parts_of(found)
    return bool(parts) and all((images.rows["origin"] == "phantom").all() for images in parts.values())


def real_images(found: Artefacts) -> Fact | None:
    """How many real images there are in each part, and of what origin."""
    parts = parts_of(found)
    if not parts:
        return None
    counts = ", ".join(f"{name} {images.n}" for name, images in parts.items())
    origins = sorted({origin for images in parts.values() for origin in images.rows["origin"]})
    classes = parts["train"].classes
    return Fact(
        f"Images by part: {counts} (origin {', '.join(origins)}), of {len(classes)} classes ({listed(classes)}).",
        _source(found),
    )


def phantom_source(found: Artefacts) -> Fact | None:
    """Where phantoms are from: nowhere but the program."""
    if not are_phantoms(found):
        return None
    n = sum(images.n for images in parts_of(found).values())
    return Fact(
        f"All {n} real images are phantoms: lesions drawn on drawn skin by `gen phantoms`. Nobody was photographed.",
        _source(found),
    )


def phantom_truth(found: Artefacts) -> Fact | None:
    """The reference standard of phantoms."""
    if not are_phantoms(found):
        return None
    return Fact(
        "The class and the skin tone of a phantom are those that it was drawn with; no rater labelled it.",
        _source(found),
    )


def phantom_parts(found: Artefacts) -> Fact | None:
    """How phantoms came into their parts."""
    if not are_phantoms(found) or leaked(found):
        return None
    return Fact("Each part has draws of its own: an id names its draw, and no id is in two parts.", _source(found))


def parts_table(found: Artefacts) -> Fact | None:
    """Classes and skin types of each part."""
    parts = parts_of(found)
    if not parts:
        return None
    return Fact(
        " ".join(f"{name.capitalize()}: {content_of(images)}." for name, images in parts.items()), _source(found)
    )


def phantom_table(found: Artefacts) -> Fact | None:
    """The same where there is no more to know of a case."""
    return parts_table(found) if are_phantoms(found) else None


def attributes(found: Artefacts) -> Fact | None:
    """Other columns that the images bring, such as sex and age."""
    names = sorted({name for part in parts_of(found).values() for one in part.rows["attributes"] for name in one or {}})
    return Fact(f"The images have the further columns {listed(names)}.", _source(found)) if names else None


def skin_types(found: Artefacts) -> Fact | None:
    """How many test images there are of each skin type; None where none is known."""
    parts = parts_of(found)
    if not parts or parts["test"].rows["group"].isna().all():
        return None
    return Fact(f"Skin types of the test images, as labelled: {_groups(parts['test'])}.", _source(found))


def missing_values(found: Artefacts) -> Fact | None:
    """How missing skin types and classes were handled."""
    parts = parts_of(found)
    if not parts:
        return None
    test = parts["test"]
    lacks = int(test.rows["group"].isna().sum())
    return Fact(
        f"Every image has a class; the reader refuses one without. The skin type of {lacks} of {test.n} test images is "
        "missing: they count in totals, are compared with no group, and nothing was imputed.",
        _source(found),
    )


def disjoint(found: Artefacts) -> Fact | None:
    """That no patient is in two parts; None where patients are not known for all, or a leak was allowed."""
    parts = parts_of(found)
    if not parts or leaked(found):
        return None
    if are_phantoms(found):
        return Fact("Each phantom is a draw of its own, and no draw is in two parts.", _source(found))
    if not all(images.rows["cluster"].notna().all() for images in parts.values()):
        return None
    n = len({cluster for images in parts.values() for cluster in images.rows["cluster"]})
    return Fact(
        f"The parts are disjoint by patient or family of duplicates: all images name theirs ({n} in all), and a set "
        "with one in two parts is refused.",
        _source(found),
    )


def disjoint_by_image(found: Artefacts) -> Fact | None:
    """What is known of the parts without patients."""
    parts = parts_of(found)
    if not parts or leaked(found):
        return None
    known = sum(int(images.rows["cluster"].notna().sum()) for images in parts.values())
    n = sum(images.n for images in parts.values())
    return Fact(
        f"No image is in two parts. {known} of {n} images name a patient or family of duplicates.", _source(found)
    )


def image_side(found: Artefacts) -> Fact | None:
    """The size at which images are stored: of the first test image."""
    if found.real is None:
        return None
    first = first_of(found.real.test, 0)
    return Fact(f"The first test image has {first.width} x {first.height} pixels.", _source(found)) if first else None


def external_images(found: Artefacts) -> Fact | None:
    """The external test set."""
    if found.external is None:
        return None
    return Fact(
        f"External test images: {found.external.n}; {content_of(found.external)}.", "external images of the plan"
    )


def external_differences(found: Artefacts) -> Fact | None:
    """Classes and skin types of the external set beside those of the others."""
    own, other = parts_table(found), external_images(found)
    return Fact(f"{other.text} {own.text}", f"{own.source}; {other.source}") if own and other else None


def parts_of(found: Artefacts) -> dict[str, ImageSet]:
    splits: Splits | None = found.real
    return {} if splits is None else {"train": splits.train, "validation": splits.validation, "test": splits.test}


def leaked(found: Artefacts) -> bool:
    return found.trial is not None and bool(found.trial.study.leakage)


def _source(found: Artefacts) -> str:
    return "real images, their shards" if found.trial is None else "real images of the plan, as trained on"


def content_of(images: ImageSet) -> str:
    classes = Counter(images.rows["class"])
    return f"classes {listed([f'{c} {classes[c]}' for c in images.classes])}; skin types {_groups(images)}"


def _groups(images: ImageSet) -> str:
    found = Counter(g if g is not None else NO_GROUP for g in images.rows["group"])
    return listed([f"{group} {found[group]}" for group in levels(found)])


def first_of(images: ImageSet, position: int) -> Sample | None:
    """The record of an image; None where its file is gone."""
    try:
        return images.at(position, verify=False)[0]
    except OSError:
        return None

"""The responsible-AI part of a Croissant description (MLCommons RAI 1.0): what is known of a set's images and people.

Every number is read from the shards. What nobody recorded is said to be unknown.
"""

from __future__ import annotations

from typing import Any

from dermforge.common import id_ranges
from dermforge.common.clear_names import in_clear
from shards.format.reader import ShardSet

SPECIFICATION = "http://mlcommons.org/croissant/RAI/1.0"
_COLLECTED = {
    "real": "Photographs of people's skin, brought into shards from their source with its labels.",
    "synthetic": "Images drawn by a latent diffusion model from prompts; no photographs.",
    "phantom": "Lesions and skin drawn by a program; no photographs, and no disease.",
}
_LABELS = {
    "real": "Classes and skin types of real images are as their source gives them.",
    "synthetic": "Classes and skin types of synthetic images are those that were asked for; the image need not show "
    "them.",
    "phantom": "Classes and skin types of phantoms are known, because they were drawn by them.",
}
#: Types that the specification lists.
_KINDS = {"real": "Secondary Data analysis", "synthetic": "Others", "phantom": "Others"}


def responsible(data: ShardSet) -> dict[str, Any]:
    """The properties `rai:*` of a set."""
    origins = sorted(set(data.rows["origin"]))
    unknown = int(data.rows["group"].isna().sum())
    return {
        "rai:dataCollection": " ".join(_COLLECTED[origin] for origin in origins),
        "rai:dataCollectionType": sorted({_KINDS[origin] for origin in origins}),
        "rai:dataCollectionMissingData": f"{unknown} of {data.n} images have no skin type.",
        "rai:dataAnnotationProtocol": [_LABELS[origin] for origin in origins],
        "rai:dataBiases": [_by_group(data), "Numbers per class and skin type differ as samples.csv shows."],
        "rai:dataLimitations": [
            "A skin type that few images have is hardly tested or taught by this set.",
            "Images that were drawn do not replace diverse real ones.",
        ],
        "rai:dataUseCases": [
            "Research on classifiers of skin images: training, and audits by skin type.",
            "Not for diagnosis, and not for sorting people by skin.",
        ],
        "rai:dataSocialImpact": "A classifier that is trained on a set with few images of some skin types can serve "
        "the people who have them worse; it must be tested for each skin type.",
        "rai:personalSensitiveInformation": list(_personal(data, origins)),
        "rai:dataReleaseMaintenancePlan": "An image whose consent is withdrawn is removed with all that was made from "
        "it (`shards purge`), and a new revision without it takes the place of this one.",
    }


def _by_group(data: ShardSet) -> str:
    groups = data.rows["group"].fillna("not known")
    counts = ", ".join(f"{name} {(groups == name).sum()}" for name in [*data.groups, *({"not known"} & set(groups))])
    return f"Images by skin type: {counts}."


def _personal(data: ShardSet, origins: list[str]) -> list[str]:
    lineage = sorted({entry for one in data.sidecars for entry in one.lineage})
    found = []
    if "real" in origins:
        found.append("The real images show the skin of people, some with a disease: health data.")
    if set(origins) != {"phantom"}:
        found.append("Skin types are given, which go with ethnic origin.")
    if lineage:
        how = "some in clear" if in_clear(lineage) else "as keyed digests, or of phantoms"
        found.append(f"The generator was tuned on {id_ranges.in_words(lineage)}; their ids are in the sidecars, {how}.")
    return found or ["None: no person is shown or named."]

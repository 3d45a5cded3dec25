"""A Hugging Face dataset card of a shard set: every number in it is read from the shards."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dermforge.common import id_ranges
from dermforge.common.hub_licences import Licence
from dermforge.common.markdown import escaped, table
from shards.format.reader import ShardSet
from shards.format.schema import Sample
from shards.tools.hub_features import features

#: The file name of a card on the hub.
CARD = "README.md"
#: The hub's categories of size.
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
KINDS = {
    "phantom": "**Phantoms**: drawn lesions on drawn skin. They test machinery and show no disease; nothing medical "
    "can be concluded from them.",
    "synthetic": "**Synthetic images**, made by a latent diffusion model. They are not photographs of patients and "
    "must not be used as such.",
    "real": "**Real images**, brought into shards as they were.",
}


def card(data: ShardSet, *, name: str, licence: Licence, summary: str = "", cite: str = "") -> str:
    """The card as Markdown with its YAML head.

    Parameters
    ----------
    summary
        A sentence of the author's own.
    """
    from huggingface_hub import DatasetCardData

    origins = sorted(set(data.rows["origin"]))
    head = DatasetCardData(
        pretty_name=name,
        task_categories=["image-classification"],
        tags=["webdataset", "dermatology", "fairness", *origins],
        **{**licence.head(), **facts(data)},
    ).to_yaml()
    first, _ = data.at(0)
    sections = [
        f"---\n{head}\n---",
        f"# {escaped(name)}",
        summary,
        *(KINDS[origin] for origin in origins),
        f"{data.n:,} images of {len(data.classes)} classes in {len(data.sidecars)} shards.",
        "## Images per class and skin type",
        _counts(data),
        *_made(data, first),
        "## Reading them",
        _reading(data),
        "## Fields",
        _fields(),
        "## Limits",
        "Skin types are as the source gives them (`group`); where a prompt asked for one, the image need not show it. "
        "Synthetic images do not replace diverse real ones. Research only: not for diagnosis.",
        *(["## Citation", cite] if cite else []),
    ]
    return "\n\n".join(s for s in sections if s) + "\n"


def facts(data: ShardSet) -> dict[str, Any]:
    """What the head of a card says of the shards: `load_dataset` and the hub's viewer read them by it."""
    splits = sorted({s or "train" for s in data.rows["split"]})
    files = [{"split": split, "path": _tars(data, split)} for split in splits]
    return {
        "size_categories": [_size(data.n)],
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"features": features(data)},
    }


def _tars(data: ShardSet, split: str) -> list[str]:
    shards = data.rows["shard"][[(s or "train") == split for s in data.rows["split"]]].unique()
    return [data.sidecars[shard].tar for shard in sorted(shards)]


def _size(n: int) -> str:
    return next((word for limit, word in SIZES if n < limit), "n>1M")


def _counts(data: ShardSet) -> str:
    groups = data.rows["group"].fillna("not known")
    counted = pd.crosstab(data.rows["class"], groups).reindex(columns=[*data.groups, *({"not known"} & set(groups))])
    lines = [[escaped(str(label)), *map(str, row), str(row.sum())] for label, row in counted.iterrows()]
    return table(["class", *map(escaped, counted.columns), "all"], lines)


def _made(data: ShardSet, first: Sample) -> list[str]:
    if first.origin != "synthetic":
        return []
    lineage = {entry for s in data.sidecars for entry in s.lineage}
    digests = {
        key: sorted({d for s in data.sidecars if (d := getattr(s, f"{key}_digest"))})
        for key in ("plan", "bundle", "model")
    }
    lines = [
        [f"`{key}`", escaped(str(value))]
        for key in (
            "strategy",
            "prompt",
            "solver",
            "steps",
            "guidance",
            "guidance_interval",
            "base_steps",
            "seed",
            "size",
        )
        if (value := getattr(first, key)) is not None
    ]
    lines += [[f"{key} sha256", ", ".join(f"`{d}`" for d in found)] for key, found in digests.items() if found]
    seen = (
        f"The generating model was tuned on real images: {len(lineage)} entries of lineage are in the sidecars. "
        "A test set that holds one of them, or a near copy, is not a test of these images."
        if lineage
        else "No real images are recorded in the model's lineage."
    )
    if unknown := sorted(id_ranges.without_record(lineage)):
        seen += (
            f" Nobody recorded the training images of {', '.join(map(escaped, unknown))}: any image may be among them."
        )
    return ["## How they were made", table(["setting", "of the first image"], lines), seen]


def _reading(data: ShardSet) -> str:
    first = data.sidecars[0]
    ext = first.samples[0].ext
    return (
        f"```python\nimport webdataset as wds\n\n"
        f'images = wds.WebDataset("{first.tar}", shardshuffle=False).decode("rgb8").to_tuple("{ext}", "json")\n```'
    )


def _fields() -> str:
    lines = []
    names = {"label": "class"}
    for name, field in Sample.model_fields.items():
        kind = getattr(field.annotation, "__name__", None) or str(field.annotation)
        lines.append([f"`{names.get(name, name)}`", kind.replace("typing.", "").replace("|", "or")])
    return table(["field of the JSON", "type"], lines)

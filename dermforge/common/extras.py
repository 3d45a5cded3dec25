"""The optional packages: what each extra of pyproject.toml is for, and what to type to get it."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, requires

#: What cannot be done without an extra.
PURPOSES = {
    "lora": "gen finetune --method lora",
    "tensorrt-rtx": "the backend tensorrt-rtx",
    "tensorrt": "the backend tensorrt",
    "ray": "--ray",
    "cloud": "s3:// and other buckets",
    "dicom": "DICOM images",
    "c2pa": "shards sign",
    "track": "--track tensorboard",
    "wandb": "--track wandb",
    "mlflow": "--track mlflow",
    "optimum": "bench: comparison with optimum",
    "quality": "--extractor inception, in torch-fidelity's network",
}
#: What pip does not say by itself.
_NOTES = {"tensorrt": "; its libraries come from NVIDIA's own package index, which must be reachable"}


def requirements(extra: str) -> list[str]:
    """The packages of an extra with their versions, such as "peft>=0.15"; none where dermforge is not installed."""
    try:
        known = requires("dermforge") or []
    except PackageNotFoundError:
        return []
    parts = [line.split(";") for line in known if ";" in line]
    return [name.strip() for name, marker in parts if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", marker)]


def how_to_install(extra: str) -> str:
    """The command that installs an extra's packages.

    It names the packages themselves: no package index is sure to have a dermforge, or this one.
    """
    names = requirements(extra)
    if not names:
        return f"pip install '.[{extra}]' in the folder of dermforge's source"
    return f"pip install {shlex.join(names)}{_NOTES.get(extra, '')}"

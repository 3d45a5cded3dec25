"""The families of pipelines, one file each: what a pipeline of that kind consists of and how its denoiser is called.

A new family is one more file here with a `FAMILY` in it; everything else finds it by the class that a folder's
`model_index.json` names.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from engines.errors import EngineError
from engines.models.family import Family


@cache
def families() -> dict[str, Family]:
    """All families by name, as the files of this folder define them."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    found = [module.FAMILY for module in modules if hasattr(module, "FAMILY")]
    return {family.name: family for family in found}


def family_of(folder: Path, index: Mapping[str, Any]) -> Family:
    """The family of a pipeline folder, by its `model_index.json`.

    Raises
    ------
    EngineError
        No family has this kind of pipeline.
    """
    named = index.get("_class_name")
    if not isinstance(named, str):
        raise EngineError(
            f"{folder}/model_index.json says {'no' if named is None else repr(named) + ' as'} _class_name, which names "
            "the kind of pipeline; expected such as StableDiffusionPipeline: restore the file"
        )
    for family in families().values():
        if named in family.pipelines:
            return family
    supported = "; ".join(f"{f.title} ({', '.join(f.pipelines)})" for f in families().values())
    raise EngineError(
        f"{folder} holds a {named}; expected one of: {supported}. Another kind of pipeline needs a file of its own in "
        "engines/models"
    )

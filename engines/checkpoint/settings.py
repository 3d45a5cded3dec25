"""Which settings of a pipeline folder reach the images, and which values of them are followed here.

Every key of every configuration is in one of three states. It is used, as diffusers builds the network or the scheduler
from it. It is known to have no influence on an image. Or it is followed at its default only, because another value asks
for something that is not here, and is then refused by name. A key that no table names is refused unless it is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.errors import EngineError


@dataclass(frozen=True)
class Known:
    """What is known of the keys of one configuration. only: key -> the values that are followed."""

    used: frozenset[str]
    without_influence: frozenset[str]
    only: Mapping[str, tuple[Any, ...]]


def known(used: str, without_influence: str, only: Mapping[str, tuple[Any, ...]]) -> Known:
    """The tables of one configuration; keys in a string are separated by spaces."""
    return Known(words(used), words(without_influence) | WRITTEN, only)


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


#: What save_pretrained and trainers write into every configuration.
WRITTEN = words(
    "_class_name _diffusers_version _name_or_path _commit_hash _ignore_files _use_default_values "
    "decay inv_gamma min_decay optimization_step power update_after_step use_ema_warmup"
)


def check_settings(path: Path, config: Mapping[str, Any], keys: Known) -> None:
    """Refuse a configuration that asks for what is not here.

    Parameters
    ----------
    path
        The configuration's file, for the message.

    Raises
    ------
    EngineError
        Names the first key that is unknown or has a value that is not followed.
    """
    for key, value in config.items():
        if key in keys.used or key in keys.without_influence:
            continue
        if key not in keys.only:
            if value is None or value == [None, None]:
                continue
            raise EngineError(
                f"{path} has the setting {key} = {_short(value)}, which this version does not know: if it has no "
                "influence on the images, remove it from the file; otherwise use diffusers for this model"
            )
        if not any(_same(value, allowed) for allowed in keys.only[key]):
            expected = " or ".join(_short(allowed) for allowed in keys.only[key])
            raise EngineError(
                f"{path} has {key} = {_short(value)}, which is not supported; expected {expected}: "
                "use diffusers for this model"
            )


def _same(value: Any, allowed: Any) -> bool:
    """Equal as JSON values: True is not 1, and a tuple is a list."""
    if isinstance(value, bool) or isinstance(allowed, bool):
        return value is allowed
    return bool((list(value) if isinstance(value, tuple) else value) == allowed)


def _short(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Names of a package that are imported when they are first used: importing torch takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package (PEP 562).

    Parameters
    ----------
    package
        Its `__name__`. It has an `__all__`, which a notebook completes.
    modules
        Full name of a module -> the names that the package takes from it.
    """
    homes = {name: module for module, names in modules.items() for name in names}
    own = sys.modules[package]

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(own, name, value)
        return value

    return get, lambda: list(own.__all__)

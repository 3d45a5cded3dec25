"""Options that a command would ignore are refused: nothing that was asked for is passed over in silence."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from dermforge.common.errors import UserError
from dermforge.common.option_names import option_of

P = ParamSpec("P")
R = TypeVar("R")
Condition = Callable[[Mapping[str, Any]], object]


def used_only(where: str, holds: Condition, *names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Refuse some of a command's options unless a condition holds; the defaults are always accepted.

    Parameters
    ----------
    where
        When the options are used, in words that end a sentence, such as "with --judge".
    holds
        The same, of all parameters of the command by their names.
    names
        The parameters.
    """

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(command)
        if strange := set(names) - set(signature.parameters):
            raise TypeError(f"{command.__name__} has no parameter {min(strange)}")

        @functools.wraps(command)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            values = given.arguments
            changed = [name for name in names if not _is_default(values[name], signature.parameters[name].default)]
            if changed and not holds(values):
                raise UserError(f"{option_of(command, changed[0])} is used only {where}: leave it out")
            return command(*args, **kwargs)

        return checked

    return decorate


def _is_default(value: object, default: object) -> bool:
    """Typer passes an empty list for a list option that was not given, whose default may be None."""
    return value == default or (default is None and value in ([], ()))

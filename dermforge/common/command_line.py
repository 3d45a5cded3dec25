"""A command that a message tells the user to give, as it can be pasted."""

from __future__ import annotations

import shlex


def typed(*words: object) -> str:
    """The words of a command in backticks, each quoted for the shell where it has to be.

    Examples
    --------
    >>> typed("gen", "build-engine", "--model", "my model")
    "`gen build-engine --model 'my model'`"
    """
    return f"`{shlex.join(map(str, words))}`"

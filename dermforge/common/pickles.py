"""Pickled weights, which can run code when they are opened: they are refused, with the command that converts them."""

from __future__ import annotations

import shlex
from pathlib import Path

PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def is_a_pickle(path: Path, program: str, *arguments: str | Path) -> str:
    """Why a file is not opened, and what to do.

    Parameters
    ----------
    program, arguments
        Python that converts it, in one line without double quotes, and its arguments. Those are quoted for a shell:
        the names are not ours.
    """
    line = " ".join(["python", "-c", f'"{program}"', *(shlex.quote(str(one)) for one in arguments)])
    return (
        f"{path} is a pickle, which can run code when opened; expected .safetensors: convert it on a machine that "
        f"trusts it with `{line}`"
    )

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


def conversion(tensors: str = "d", tensor: str = "v.contiguous()", before: str = "") -> str:
    """The program that makes a .safetensors, its second argument, of the pickle that its first one names.

    Parameters
    ----------
    tensors
        Where the tensors are in what was read, which is `d`.
    tensor
        What becomes of one of them, which is `v`: two that share memory must be copied.
    before
        What stands before it is read, such as the kinds of values that are no danger.
    """
    return (
        f"import sys, torch, safetensors.torch as s; {before}"
        f"d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); d = {tensors}; "
        f"s.save_file({{k: {tensor} for k, v in d.items() if hasattr(v, 'dtype')}}, sys.argv[2])"
    )

"""`gen doctor`: what this machine can build and run, and what is missing for other backends."""

from __future__ import annotations

import importlib
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer
from rich.table import Table

from dermforge.common import console, one_onnxruntime
from dermforge.common.extras import PURPOSES, how_to_install, requirements

NEEDED = ("torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime")


def doctor(json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout")] = False) -> None:
    """Check the machine and the packages, and say which backends work here.

    Example: gen doctor
    """
    found = {"machine": _machine(), "packages": _packages(), "extras": _extras(), "backends": _backends()}
    if json:
        console.print_json(found)
        return
    for title, rows in found.items():
        table = Table(show_header=False, title=title, title_justify="left")
        for name, value in rows.items():
            table.add_row(name, value)
        console.out.print(table)


def _machine() -> dict[str, str]:
    from engines.backends.tensorrt import this_gpu
    from engines.memory import available_bytes

    free, gpu = available_bytes(), this_gpu()
    return {
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cores": str(len(os.sched_getaffinity(0))),
        "free memory": "not known" if free is None else f"{free / 1e9:.1f} GB",
        "GPU": "none (no CUDA driver)" if gpu is None else f"{gpu[1]}, {gpu[0]}, driver for CUDA {gpu[2]}",
    }


def _packages() -> dict[str, str]:
    found = {}
    for name in NEEDED:
        found[name] = _version(name) or "missing: install dermforge again"
    if there := one_onnxruntime.installed():
        found["onnxruntime"] = one_onnxruntime.conflict() or " ".join(there.values())
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _extras() -> dict[str, str]:
    """Each optional part: the versions of its packages, or what it is for and how to install it."""
    found = {}
    for extra, purpose in PURPOSES.items():
        names = [re.split(r"[<>=!~ \[]", requirement)[0] for requirement in requirements(extra)]
        try:
            found[extra] = ", ".join(f"{name} {version(name)}" for name in names) or "not known: install dermforge"
        except PackageNotFoundError:
            found[extra] = f"not installed, for {purpose}: {how_to_install(extra)}"
    return found


def _backends() -> dict[str, str]:
    """Each backend: what it can do here, or the one thing to do first."""
    import onnxruntime

    from engines.backends.tensorrt import MODULES, this_gpu

    gpu, for_cuda = this_gpu(), f"; for CUDA: {one_onnxruntime.FOR_CUDA}"
    providers = [p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers()]
    found = {
        "onnxruntime": f"runs here on {', '.join(providers)}" + ("" if "CUDA" in providers or not gpu else for_cuda),
        "torch": f"runs here on {'CUDA and the CPU' if gpu else 'the CPU'}; {_compiling()}",
    }
    for flavour, module in MODULES.items():
        try:
            installed = importlib.import_module(module).__version__
        except ImportError:
            found[flavour] = f"not installed: {how_to_install(flavour)}"
            continue
        ahead = "compiles for any --target here" if flavour == "tensorrt-rtx" else "compiles on a GPU only"
        found[flavour] = f"{installed}: {ahead}" + (", runs here" if gpu else ", runs on a GPU only (none here)")
    return found


def _compiling() -> str:
    """What `--target cpu` can do here."""
    import torch

    from engines.compile.torch_build import require_compiler
    from engines.errors import EngineError

    try:
        require_compiler()
    except EngineError:
        return "--target cpu needs a C++ compiler: install g++"
    amx = "with" if torch.cpu.get_capabilities().get("amx_bf16") else "without"
    return f"--target cpu compiles engine files for this CPU, {amx} AMX for bf16"

"""A function of tensors compiled whole by torch's Inductor: one graph, one kind of tensors, no silent way around it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from threading import RLock
from types import FunctionType
from typing import Any, cast

import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from dermforge.common.private_folder import private_folder
from engines.cache import cache_folder
from engines.errors import EngineError
from engines.manifest import CompileMode

#: Inductor's options. The default takes its kernels by rule and starts soonest; autotuning times several
#: kernels for each product, which takes many minutes. CUDA graphs are ours: the compiler's own trees copy inputs and
#: record anew when a buffer moves. 1x1 convolutions are matrix products in the channels-last layout.
MODES: dict[CompileMode, dict[str, Any]] = {
    "default": {"conv_1x1_as_mm": True},
    "autotune": {"conv_1x1_as_mm": True, "max_autotune": True, "coordinate_descent_tuning": True},
}
FIRST_CALLS = RLock()  # two threads must not compile or record at once
KERNELS = "TORCHINDUCTOR_CACHE_DIR"  # torch's own name
_numbers = count()


def parse_mode(name: str | None) -> CompileMode | None:
    """A mode by its name; None where none is named.

    Raises
    ------
    EngineError
        There is no such mode.
    """
    for mode in MODES:
        if name == mode:
            return mode
    if name is not None:
        raise EngineError(f"unknown mode of compiling {name!r}; expected {' or '.join(MODES)}")
    return None


class CompiledCall:
    """A function of tensors, compiled at its first call for the one static shape that it has.

    Attributes
    ----------
    graphs
        How often it was compiled: once, after the first call.

    Raises
    ------
    EngineError
        Torch ran the function without compiling it.
    """

    def __init__(self, call: Callable[..., torch.Tensor], mode: CompileMode) -> None:
        self.options, self.graphs = MODES[mode], 0
        self.run = torch.compile(own_code(call), backend=self._compile, dynamic=False, fullgraph=True)

    def __call__(self, *arrays: torch.Tensor) -> torch.Tensor:
        with FIRST_CALLS if not self.graphs else nullcontext(), torch.inference_mode(False), torch.no_grad():
            out: torch.Tensor = self.run(*map(ordinary, arrays))
        if not self.graphs:
            raise EngineError(
                "torch ran an engine without compiling it, which would be many times slower: "
                "unset TORCHDYNAMO_DISABLE and TORCH_COMPILE_DISABLE"
            )
        return out

    def _compile(self, graph: torch.fx.GraphModule, inputs: Sequence[torch.Tensor]) -> Callable[..., Any]:
        from torch._inductor.compile_fx import compile_fx

        compiled = cast("Callable[..., Any]", compile_fx(graph, inputs, config_patches=self.options))
        self.graphs += 1
        return compiled


def own_code(call: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The function with a code object of its own.

    Dynamo counts compilations by code object and gives up at the ninth: engines must not share one.
    """
    assert isinstance(call, FunctionType)
    code = call.__code__.replace(co_name=f"{call.__name__.strip('<>')}_{next(_numbers)}")
    return FunctionType(code, call.__globals__, code.co_name, call.__defaults__, call.__closure__)


def ordinary(array: torch.Tensor) -> torch.Tensor:
    """The tensor, or a copy of it, as no inference tensor and contiguous: for another kind Dynamo compiles anew."""
    if array.is_inference() or not array.is_contiguous():
        return array.clone(memory_format=torch.contiguous_format)
    return array


def keep_kernels() -> None:
    """Let Inductor keep what it compiles in this program's cache, so that a second start is short.

    Torch's own place is a folder in /tmp that the next boot empties; torch itself puts that name into the environment.
    A place that the user names stays.

    Raises
    ------
    UserError
        The folder is not this user's alone: what is in it would be run.
    """
    named = os.environ.get(KERNELS)
    if named is not None and Path(named) != Path(default_cache_dir()):
        return
    remedy = f"remove it, or name another by {KERNELS}"
    try:
        folder = private_folder(cache_folder() / "inductor", remedy)
    except PermissionError:  # a container whose user has no home
        folder = private_folder(Path(tempfile.gettempdir(), f"dermforge-inductor-{os.geteuid()}"), remedy)
    os.environ[KERNELS] = str(folder)

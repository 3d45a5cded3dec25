"""Plans for a CPU: networks compiled ahead of time by torch's Inductor, each core running batches of its own.

A plan is a shared library with torch's C interface for compiled models. It is called through that, for two reasons:
ctypes lets go of Python's lock during a call, which torch's own loader does not, and cores that work on batches of
their own never wait for each other.
"""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import torch
from torch import nn

from engines.bundle import Artefact
from engines.errors import EngineError
from engines.silence import quiet

# Weights folded and packed for this CPU's instructions (AMX where it has them); one thread a call.
OPTIONS = {"freezing": True, "cpp.threads": 1}


class Held(nn.Module):
    """A call with the network whose weights it reads, as `torch.export` wants them."""

    def __init__(self, network: nn.Module, call: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
        return self.call(*arrays).contiguous()  # the plan's results are read where they lie


def builder() -> str:
    """What compiles here; a plan runs on the same version only."""
    return f"torch {torch.__version__}"


def this_cpu() -> str:
    """This CPU's architecture and instruction sets: a plan may use each of them."""
    found = torch.cpu.get_capabilities()
    return " ".join([found["architecture"], *sorted(name for name, has in found.items() if has is True)])


def require_compiler() -> None:
    """Refuse to compile where nothing can, before anything is built.

    Raises
    ------
    EngineError
        There is no C++ compiler.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise EngineError(
            "plans for a CPU need a C++ compiler and none is here: install g++ (running the bundle needs none), "
            "or leave out --target"
        ) from error


def compile_call(
    network: nn.Module, call: Callable[..., torch.Tensor], examples: tuple[torch.Tensor, ...], path: Path
) -> None:
    """Compile a function of tensors at the examples' static shapes into a shared library.

    Parameters
    ----------
    network
        Whose weights the function reads: they go into the plan.
    """
    from torch._inductor import aot_compile
    from torch._inductor.utils import fresh_cache

    with torch.no_grad(), quiet(), fresh_cache():  # no executable of an earlier build is taken from a shared folder
        program = torch.export.export(Held(network, call), examples)
        shutil.copyfile(str(aot_compile(program.module(), examples, options=OPTIONS)), path)


def check_cpu(plan: Artefact, cpu: str, version: str) -> None:
    """Refuse a plan that was compiled for something else, and say what differs.

    Raises
    ------
    EngineError
        Another version of torch, or a CPU with other instructions.
    """
    if plan.builder != version:
        raise EngineError(f"{plan.path} was compiled by {plan.builder} and this is {version}: rebuild the bundle here")
    compiled, here = set((plan.target or "").split()), set(cpu.split())
    if compiled != here:
        raise EngineError(
            f"{plan.path} was compiled for a CPU with {_few(compiled - here)} that this one lacks, and without "
            f"{_few(here - compiled)} that it has: rebuild the bundle on this kind of machine"
        )


class Cores:
    """Threads that run plans, each with one core to itself inside every library."""

    def __init__(self, threads: int) -> None:
        self.threads, usual = threads, torch.get_num_threads()
        self.pool, together = ThreadPoolExecutor(threads, "core"), Barrier(threads)

        def alone() -> None:
            torch.get_num_threads()  # asked first: else a thread's first operation sets it back to the usual number
            torch.set_num_threads(1)
            together.wait()

        for started in [self.pool.submit(alone) for _ in range(threads)]:
            started.result()
        torch.set_num_threads(usual)  # of this thread, and of those that start later


class Plan:
    """A compiled function at one static batch, run for any multiple of it.

    Parameters
    ----------
    path
        Its digest must have been checked, for loading it runs it.
    rows
        Of one batch.
    shape, dtype
        Of one row of the result.

    Raises
    ------
    EngineError
        The file is no plan, or fails in a run.
    """

    def __init__(self, path: Path, cores: Cores, rows: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.path, self.cores, self.rows, self.shape, self.dtype = path, cores, rows, shape, dtype
        self.torch = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        try:
            self.library = ctypes.CDLL(str(path))
            self.container = ctypes.c_void_p()
            self._check(
                self.library.AOTInductorModelContainerCreateWithDevice(
                    ctypes.byref(self.container), ctypes.c_size_t(cores.threads), b"cpu", None
                )
            )
        except (OSError, AttributeError) as error:
            raise EngineError(f"{path} was refused by {builder()} ({error}): rebuild the bundle here") from error

    def __call__(self, *arrays: torch.Tensor) -> torch.Tensor:
        """float32 arrays of equal rows, a multiple of the plan's -> one array of as many."""
        if len(arrays[0]) % self.rows:  # it would read beyond the last row
            raise EngineError(f"{self.path} takes rows by {self.rows}, got {len(arrays[0])}")
        out = torch.empty(len(arrays[0]), *self.shape, dtype=self.dtype)
        parts = zip(*(a.float().contiguous().split(self.rows) for a in arrays), out.split(self.rows), strict=True)
        for done in [self.cores.pool.submit(self._run, *part) for part in parts]:
            done.result()
        return out

    def _run(self, *arrays: torch.Tensor) -> None:
        """One batch; the last array takes the result."""
        *given, out = arrays
        inputs = (ctypes.c_void_p * len(given))(*map(self._handle, given))  # the call takes them over
        outputs = (ctypes.c_void_p * 1)()
        self._check(
            self.library.AOTInductorModelContainerRun(
                self.container, inputs, ctypes.c_size_t(len(given)), outputs, ctypes.c_size_t(1), None, None
            )
        )
        result, data = ctypes.c_void_p(outputs[0]), ctypes.c_void_p()
        self._check(self.torch.aoti_torch_get_data_ptr(result, ctypes.byref(data)))
        ctypes.memmove(out.data_ptr(), data, out.numel() * out.element_size())
        self._check(self.torch.aoti_torch_delete_tensor_object(result))

    def _handle(self, array: torch.Tensor) -> int | None:
        """A tensor of torch's C interface over an array's memory."""
        sizes, handle = ctypes.c_int64 * array.ndim, ctypes.c_void_p()
        self._check(
            self.torch.aoti_torch_create_tensor_from_blob(
                ctypes.c_void_p(array.data_ptr()),
                ctypes.c_int64(array.ndim),
                sizes(*array.shape),
                sizes(*array.stride()),
                ctypes.c_int64(0),
                ctypes.c_int32(self.torch.aoti_torch_dtype_float32()),
                ctypes.c_int32(self.torch.aoti_torch_device_type_cpu()),
                ctypes.c_int32(0),
                ctypes.byref(handle),
            )
        )
        return handle.value

    def _check(self, failed: int) -> None:
        if failed:
            raise EngineError(f"{self.path} failed in a run (the reason is above): rebuild the bundle here")


def _few(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "") if shown else "nothing"

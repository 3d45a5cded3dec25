"""Engine files for a CPU: networks compiled ahead of time by torch's Inductor, run with one batch on each core.

An engine file is a shared library with torch's C interface for compiled models (`engines.compile.torch_build` writes
it). ctypes calls it, for two reasons: ctypes releases Python's lock during a call, which torch's own loader does not,
and cores with batches of their own never wait for each other.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Lock

import torch

from engines.bundle import Bundle
from engines.calls import Calls
from engines.errors import EngineError
from engines.manifest import Artefact
from engines.private_copy import private_copy

#: The libraries of this process by their digest: one that is loaded stays, and is not loaded twice.
LOADED: dict[str, ctypes.CDLL] = {}
LOADING = Lock()


def builder() -> str:
    """What compiles here; an engine file runs on the same version only."""
    return f"torch {torch.__version__}"


def this_cpu() -> str:
    """This CPU's architecture and instruction sets, any of which an engine file may use."""
    found = torch.cpu.get_capabilities()
    return " ".join([found["architecture"], *sorted(name for name, has in found.items() if has is True)])


def with_engine_files(calls: Calls, bundle: Bundle, rows: int) -> Calls:
    """The calls with the UNet and the decoder from a bundle's engine files for this CPU.

    Raises
    ------
    EngineError
        The files are for another number of rows, CPU or version of torch, or one was altered.
    """
    spec, files = bundle.manifest.spec, bundle.engine_files("torch")
    if rows % bundle.manifest.rows:
        raise EngineError(
            f"the engine files of {bundle.folder} are compiled for {bundle.manifest.rows} rows: "
            f"ask for a multiple of them, not {rows}"
        )
    for file in files.values():
        check_cpu(file, this_cpu(), builder())
    bundle.verify(files.values())
    cores = Cores(torch.get_num_threads())

    def opened(part: str, shape: tuple[int, ...], dtype: torch.dtype) -> AotRunner:
        return AotRunner(load_library(bundle, files[part]), cores, files[part].rows or 1, shape, dtype)

    side = spec.latent_size
    return replace(
        calls,
        denoise=opened(spec.denoiser, (spec.latent_channels, side, side), torch.float32),
        decode=opened("vae_decoder", (spec.size, spec.size, 3), torch.uint8),
    )


def check_cpu(file: Artefact, cpu: str, version: str) -> None:
    """Refuse an engine file that was compiled for something else, and say what differs.

    Raises
    ------
    EngineError
        Another version of torch, or a CPU with other instructions.
    """
    if file.builder != version:
        raise EngineError(f"{file.path} was compiled by {file.builder} and this is {version}: rebuild the bundle here")
    compiled, here = set((file.target or "").split()), set(cpu.split())
    if compiled != here:
        raise EngineError(
            f"{file.path} was compiled for a CPU with {_few(compiled - here)} that this one lacks, and without "
            f"{_few(here - compiled)} that it has: rebuild the bundle on this kind of machine"
        )


class Cores:
    """Threads that run engine files, each of them with one core in every library."""

    def __init__(self, threads: int) -> None:
        self.threads, usual = threads, torch.get_num_threads()
        self.pool, together = ThreadPoolExecutor(threads, "core"), Barrier(threads)

        def alone() -> None:
            torch.get_num_threads()  # call this first: torch resets a thread's count at its first operation
            torch.set_num_threads(1)
            together.wait()

        try:
            for started in [self.pool.submit(alone) for _ in range(threads)]:
                started.result()
        except BaseException:  # interrupted: those that have started would wait for the others for ever
            together.abort()
            raise
        torch.set_num_threads(usual)  # for this thread, and for those that start later


def load_library(bundle: Bundle, file: Artefact) -> ctypes.CDLL:
    """The shared library of an engine file. To load it is to run it, so the bytes that are loaded are hashed.

    Raises
    ------
    EngineError
        The file was altered, or is no library.
    """
    with LOADING:
        if file.sha256 not in LOADED:
            with private_copy(bundle, [file]) as folder:
                try:
                    LOADED[file.sha256] = ctypes.CDLL(str(folder / file.path))
                except OSError as error:
                    raise EngineError(
                        f"{bundle.path(file)} was refused by {builder()} ({error}): rebuild the bundle here; where the "
                        "folder of temporary files allows no programs (noexec), set TMPDIR to another"
                    ) from error
        return LOADED[file.sha256]


class AotRunner:
    """An engine file, compiled for one static batch and run for any multiple of it.

    Parameters
    ----------
    library
        The file, loaded.
    rows
        Rows of one batch.
    shape, dtype
        What one row of the result is.

    Raises
    ------
    EngineError
        The library is no engine file, or fails in a run.
    """

    def __init__(
        self, library: ctypes.CDLL, cores: Cores, rows: int, shape: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        self.library, self.cores, self.rows, self.shape, self.dtype = library, cores, rows, shape, dtype
        self.name = Path(library._name).name
        self.torch = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        try:
            self.container = ctypes.c_void_p()
            self._check(
                self.library.AOTInductorModelContainerCreateWithDevice(
                    ctypes.byref(self.container), ctypes.c_size_t(cores.threads), b"cpu", None
                )
            )
        except AttributeError as error:
            raise EngineError(f"{self.name} was refused by {builder()} ({error}): rebuild the bundle here") from error

    def __call__(self, *arrays: torch.Tensor) -> torch.Tensor:
        """float32 arrays of equally many rows, a multiple of the file's -> one array of as many rows."""
        if len(arrays[0]) % self.rows:  # the library would read beyond the last row
            raise EngineError(f"{self.name} takes a multiple of {self.rows} rows, got {len(arrays[0])}")
        out = torch.empty(len(arrays[0]), *self.shape, dtype=self.dtype)
        parts = zip(*(a.float().contiguous().split(self.rows) for a in arrays), out.split(self.rows), strict=True)
        for done in [self.cores.pool.submit(self._run, *part) for part in parts]:
            done.result()
        return out

    def _run(self, *arrays: torch.Tensor) -> None:
        """One batch; the result is written into the last array."""
        *given, out = arrays
        inputs = (ctypes.c_void_p * len(given))(*map(self._handle, given))  # the call takes ownership of them
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
        """A handle of torch's C interface to a tensor over an array's memory."""
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
            raise EngineError(f"{self.name} failed in a run (the reason is above): rebuild the bundle here")


def _few(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "") if shown else "nothing"

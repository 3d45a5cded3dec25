"""Engine files for a CPU compute what the plain network does, on any number of cores, or are refused."""

from __future__ import annotations

import ctypes.util
import random
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

import pytest
import torch
from engines_helpers import gauss
from torch import nn

from engines import Bundle, build, load
from engines.backends.torch_aot import AotRunner, Cores, builder, check_cpu, load_library, this_cpu
from engines.backends.torch_compiled import BATCHES_A_CORE
from engines.bundle import read_bundle
from engines.certificate import read_certificate
from engines.compile.torch_build import compile_call
from engines.errors import EngineError
from engines.manifest import Artefact, describe_file

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
ROWS = 2


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 3, 3)).eval()


@pytest.fixture(scope="module")
def engine_file(network: nn.Module, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """An engine file of `network(x) * s` with channels last inside; its result must come out contiguous."""
    path = tmp_path_factory.mktemp("engine") / "small.so"
    network = network.to(memory_format=torch.channels_last)
    compile_call(
        network, lambda x, s: network(x) * s[:, None, None, None], (torch.zeros(ROWS, 3, 8, 8), torch.zeros(ROWS)), path
    )
    return load_library(replace(bundle, folder=path.parent), describe_file(path.parent, path))


def test_an_engine_file_computes_any_multiple_of_its_rows(network: nn.Module, engine_file: ctypes.CDLL) -> None:
    runner = AotRunner(engine_file, Cores(2), ROWS, (3, 6, 6), torch.float32)
    for batches in (1, 2, 5):
        x, s = gauss(batches * ROWS, 3, 8, 8), gauss(batches * ROWS)
        with torch.no_grad():
            expected = network(x) * s[:, None, None, None]
        torch.testing.assert_close(runner(x, s), expected, rtol=1e-4, atol=1e-5)


def test_bytes_do_not_depend_on_the_number_of_cores_nor_on_the_other_batches(engine_file: ctypes.CDLL) -> None:
    x, s = gauss(8 * ROWS, 3, 8, 8), gauss(8 * ROWS)
    one, three = (AotRunner(engine_file, Cores(n), ROWS, (3, 6, 6), torch.float32) for n in (1, 3))
    together = three(x, s)
    assert torch.equal(one(x, s), together)
    assert torch.equal(one(x[ROWS : 2 * ROWS], s[ROWS : 2 * ROWS]), together[ROWS : 2 * ROWS])


def test_strided_inputs_are_read_as_they_are_meant(engine_file: ctypes.CDLL) -> None:
    """The library reads addresses: a view with other strides must not be read as if it were contiguous."""
    runner = AotRunner(engine_file, Cores(1), ROWS, (3, 6, 6), torch.float32)
    x, s = gauss(ROWS, 8, 8, 3).permute(0, 3, 1, 2), gauss(2 * ROWS)[::2]
    assert torch.equal(runner(x, s), runner(x.contiguous(), s.contiguous()))


def test_rows_that_would_be_read_beyond_their_end_are_refused(engine_file: ctypes.CDLL) -> None:
    runner = AotRunner(engine_file, Cores(1), ROWS, (3, 6, 6), torch.float32)
    with pytest.raises(EngineError, match="takes a multiple of 2 rows, got 3"):
        runner(gauss(3, 3, 8, 8), gauss(3))


def test_opening_cores_leaves_the_other_threads_of_a_process_alone() -> None:
    """This one, and those that start later: training in the process of an engine keeps all cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        cores = Cores(3)
        assert {cores.pool.submit(torch.get_num_threads).result() for _ in range(6)} == {1}
        with ThreadPoolExecutor(1) as later:
            assert torch.get_num_threads() == later.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_an_interruption_while_cores_open_leaves_no_thread_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python waits for each thread of a pool at its end."""
    begun: list[Future[None]] = []

    class Interrupted(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            if begun:
                raise KeyboardInterrupt
            begun.append(super().submit(*args, **kwargs))
            return begun[0]

    monkeypatch.setattr("engines.backends.torch_aot.ThreadPoolExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        Cores(2)
    assert isinstance(begun[0].exception(10), BrokenBarrierError)


def test_a_file_that_is_no_engine_file_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "unet.so"
    path.write_bytes(b"not a library")
    with pytest.raises(EngineError, match=r"unet\.so was refused by torch .*rebuild the bundle here"):
        load_library(replace(bundle, folder=tmp_path), describe_file(tmp_path, path))
    with pytest.raises(EngineError, match=r"was refused by torch .*rebuild the bundle here"):
        AotRunner(ctypes.CDLL(ctypes.util.find_library("m")), Cores(1), 1, (1,), torch.float32)


def made(target: str, by: str) -> Artefact:
    return Artefact(path="plans/unet.so", sha256="0", bytes=1, kind="plan", backend="torch", target=target, builder=by)


def test_an_engine_file_for_another_cpu_or_torch_is_refused_by_name() -> None:
    check_cpu(made(this_cpu(), builder()), this_cpu(), builder())
    with pytest.raises(EngineError, match=r"compiled by torch 1\.0 and this is torch 2"):
        check_cpu(made("x86_64 avx2", "torch 1.0"), "x86_64 avx2", "torch 2")
    with pytest.raises(EngineError, match="a CPU with amx_tile that this one lacks, and without nothing that it has"):
        check_cpu(made("x86_64 amx_tile avx2", "torch 2"), "x86_64 avx2", "torch 2")


@pytest.fixture(scope="module")
def compiled(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build(
        model,
        tmp_path_factory.mktemp("compiled") / "bundle",
        backend="torch",
        precision="bf16",
        target="cpu",
        rows=2,
        allow_parity_failure=True,
    )


@pytest.mark.slow
def test_a_bundle_with_engine_files_is_certified_and_runs(compiled: Bundle) -> None:
    certificate = read_certificate(compiled)
    assert certificate.covers_engine_files
    assert all(e < 3e-2 for errors in certificate.components.values() for e in errors.values())  # untrained, in bf16
    assert max(certificate.components["vae_encoder"].values()) < 1e-5  # which stays in float32
    one, two = (load(compiled.folder, threads=n) for n in (1, 2))
    assert (one.rows, two.rows) == (2 * BATCHES_A_CORE, 4 * BATCHES_A_CORE)
    args = gauss(7, 4, 8, 8), torch.linspace(1, 999, 7), {"text": gauss(7, 16, 32)}
    assert torch.equal(one.denoise(*args), two.denoise(*args))
    assert torch.equal(one.decode(args[0]), two.decode(args[0]))


@pytest.mark.slow
def test_an_altered_engine_file_is_never_loaded(compiled: Bundle, tmp_path: Path) -> None:
    folder, rng = Path(shutil.copytree(compiled.folder, tmp_path / "altered")), random.Random(0)
    engine_files = list(compiled.engine_files("torch").values())
    for k, path in enumerate(path for _ in range(150) for path in sorted(folder.rglob("*.so"))):
        whole = path.read_bytes()
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        with pytest.raises(EngineError, match=rf"{path.name} hashes to"):
            load(folder) if k < 2 else read_bundle(folder).verify(engine_files)
        path.write_bytes(whole)
    load(folder)


@pytest.mark.slow
def test_other_rows_than_a_multiple_are_refused(compiled: Bundle) -> None:
    with pytest.raises(EngineError, match="compiled for 2 rows: ask for a multiple of them, not 3"):
        load(compiled.folder, rows=3)
    assert read_bundle(compiled.folder).manifest.rows == 2

"""An engine file runs on what it was compiled for, or is refused; it is hashed before it is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engines_helpers import FLAVOURS, HALF_ERROR, flavour_here, on_cuda

from engines import Bundle, build, load
from engines.backends.tensorrt import check_gpu, check_graphs, resolve_target
from engines.certificate import read_certificate
from engines.errors import EngineError
from engines.manifest import Artefact

pytest.importorskip("tensorrt_rtx_bindings")


def test_a_bundle_holds_an_engine_file_of_each_part_with_its_keys(half: Bundle) -> None:
    files = half.engine_files("tensorrt-rtx")
    assert set(files) == {"text_encoder", "unet", "vae_decoder", "vae_encoder"}
    unet = files["unet"]
    assert unet.path == "plans/tensorrt-rtx-sm_89-fp16-b4-64/unet.plan"
    assert (unet.rows, unet.size, unet.target, unet.precision) == (4, 64, "sm_89", "fp16")
    assert unet.builder is not None
    assert unet.builder.startswith("tensorrt-rtx 1.")
    graph = next(a for a in half.manifest.artefacts if a.path == "unet/rows.onnx")
    assert unet.graph_sha256 == graph.sha256


def test_half_precision_is_certified_by_its_graphs(half: Bundle) -> None:
    certificate = read_certificate(half)
    assert certificate.passed
    assert not certificate.covers_engine_files
    assert 1e-6 < certificate.components["unet"]["real"] < 1e-2
    half.verify()


def test_an_engine_file_of_another_graph_is_refused(half: Bundle) -> None:
    files = list(half.engine_files().values())
    check_graphs(half, files)
    with pytest.raises(EngineError, match="compiled for another graph: other"):
        check_graphs(half, [files[0].model_copy(update={"graph_sha256": "other"})])
    with pytest.raises(EngineError, match="compiled for another size: 512, and the bundle has 64"):
        check_graphs(half, [files[0].model_copy(update={"size": 512})])


def test_unknown_targets_are_refused_with_the_known_ones() -> None:
    with pytest.raises(EngineError, match="cannot compile for sm_90; expected one of sm_75, sm_80"):
        resolve_target("tensorrt-rtx", "sm_90")
    with pytest.raises(EngineError, match="give a target"):
        resolve_target("tensorrt-rtx", None)


def test_an_altered_engine_file_is_refused_before_the_driver_is_asked(half: Bundle) -> None:
    path = half.path(half.engine_files()["unet"])
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:100] + bytes([whole[100] ^ 0xFF]) + whole[101:])
        with pytest.raises(EngineError, match=r"unet\.plan hashes to"):
            load(half.folder)
    finally:
        path.write_bytes(whole)


def test_a_machine_without_a_driver_says_so(half: Bundle) -> None:
    with pytest.raises(EngineError, match="no CUDA driver is here"):
        load(half.folder)
    with pytest.raises(EngineError, match="compiled for 4 rows, not 8"):
        load(half.folder, rows=8)


@pytest.mark.parametrize(
    ("here", "builder", "named"),
    [
        (("sm_90", "NVIDIA H200", "13.0"), "tensorrt 11.1", "architecture: sm_89, and here is sm_90"),
        (("sm_89", "NVIDIA L4", "13.0"), "tensorrt 11.2", "builder: tensorrt 11.1, and here is tensorrt 11.2"),
        (("sm_89", "NVIDIA L40S", "13.0"), "tensorrt 11.1", "GPU: NVIDIA L4, and here is NVIDIA L40S"),
        (("sm_89", "NVIDIA L4", "12.8"), "tensorrt 11.1", "CUDA major version: 13, and here is 12"),
    ],
)
def test_a_mismatch_says_which(here: tuple[str, str, str], builder: str, named: str) -> None:
    file = Artefact(
        path="unet.plan",
        sha256="",
        bytes=0,
        kind="plan",
        target="sm_89",
        builder="tensorrt 11.1",
        gpu="NVIDIA L4",
        driver="13.1",
    )
    with pytest.raises(EngineError, match=named):
        check_gpu(file, builder, here)
    check_gpu(file, "tensorrt 11.1", ("sm_89", "NVIDIA L4", "13.0"))


def test_the_other_flavour_says_what_to_install() -> None:
    with pytest.raises(EngineError, match=r"pip install 'tensorrt"):
        resolve_target("tensorrt", None)


@pytest.mark.gpu
@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
def test_engine_files_run_and_are_certified(model: Path, tmp_path: Path, flavour: str) -> None:
    built = build(
        model, tmp_path / "out", backend=flavour_here(flavour), precision="fp16", rows=4, allow_parity_failure=True
    )
    certificate = read_certificate(built)
    assert certificate.covers_engine_files
    assert all(e < HALF_ERROR for errors in certificate.components.values() for e in errors.values())
    engine = load(built.folder)
    first = engine.denoise(*on_cuda(4, 1))
    engine.denoise(*on_cuda(4, 2))
    torch.testing.assert_close(engine.denoise(*on_cuda(4, 1)), first, rtol=0, atol=0)

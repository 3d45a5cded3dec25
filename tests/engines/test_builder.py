"""A build gives a certified bundle, or one clear line and nothing on disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engines import Bundle, build, load
from engines.builder import write_index
from engines.certificate import read_certificate
from engines.errors import EngineError, ParityError


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"backend": "openvino"}, "unknown backend 'openvino'"),
        ({"precision": "int3"}, "unknown precision 'int3'"),
        ({"rows": 0}, "rows must be 1 or more"),
        ({"size": 65}, "expected a multiple of"),
        ({"target": "sm_89"}, "a target .* is for the tensorrt backends"),
        ({"backend": "tensorrt-rtx", "target": "sm_90"}, "cannot compile for sm_90"),
    ],
)
def test_a_bad_option_is_one_line_and_nothing_on_disk(
    model: Path, tmp_path: Path, options: dict[str, object], named: str
) -> None:
    if "backend" in options and options["backend"] == "tensorrt-rtx":
        pytest.importorskip("tensorrt_rtx_bindings")
    with pytest.raises(EngineError, match=named):
        build(model, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_pipeline_that_changes_while_it_is_built_gives_no_bundle(model: Path, tmp_path: Path) -> None:
    """Its digest would name other weights than the bundle holds."""
    folder = Path(shutil.copytree(model, tmp_path / "model"))

    def change(step: str, so_far: str = "") -> None:
        if step == "weights":
            path = folder / "unet" / "diffusion_pytorch_model.safetensors"
            path.write_bytes(path.read_bytes()[:-4] + bytes(4))

    with pytest.raises(EngineError, match="were changed while it was built; build it again"):
        build(folder, tmp_path / "out", backend="torch", rows=2, progress=change)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_only_regular_files_of_the_tokenizer_go_into_a_bundle(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    (folder / "tokenizer" / "additional_chat_templates").mkdir()
    (folder / "tokenizer" / "notes.log").write_text("begun")
    os.mkfifo(folder / "scheduler" / "pipe.json")
    built = build(folder, tmp_path / "out", backend="torch", rows=2)
    names = sorted(p.name for part in ("tokenizer", "scheduler") for p in (built.folder / part).iterdir())
    expected = sorted(p.name for part in ("tokenizer", "scheduler") for p in (model / part).iterdir())
    assert names == expected


def test_the_certificate_is_per_class_and_group(bundle: Bundle) -> None:
    certificate = read_certificate(bundle)
    assert certificate.passed
    assert set(certificate.by_class) == {"annulus", "plaque"}
    assert set(certificate.by_group) == {"dark", "light"}
    assert all(part.n == 2 and part.psnr_worst >= 50 for part in certificate.by_class.values())


def test_a_torch_bundle_runs_and_is_a_diffusers_folder(model: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    built = build(model, tmp_path / "out", backend="torch", rows=4)
    engine = load(built.folder, device="cpu")
    assert engine.backend == "torch"
    assert engine.decode(torch.zeros(1, 4, 8, 8)).shape == (1, 64, 64, 3)
    assert StableDiffusionPipeline.from_pretrained(built.folder).unet.config.sample_size == 8


def test_a_checkpoint_with_a_safety_checker_gives_a_bundle_that_opens(model: Path, tmp_path: Path) -> None:
    """Stable Diffusion 1.5's index names a safety checker; bundles leave that part out, and must not name it."""
    from diffusers import StableDiffusionPipeline

    named = tmp_path / "model"
    shutil.copytree(model, named)
    index = json.loads((named / "model_index.json").read_text())
    index |= {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "requires_safety_checker": True,
    }
    (named / "model_index.json").write_text(json.dumps(index))
    write_index(named, tmp_path)
    (tmp_path / "model_index.json").rename(named / "model_index.json")
    assert StableDiffusionPipeline.from_pretrained(named).safety_checker is None


def test_refitting_is_refused_where_it_means_nothing(model: Path, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="refitting is for the tensorrt backends"):
        build(model, tmp_path / "out", refit=True)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_bundle_is_not_written_unless_asked_for_and_then_says_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(build.__globals__["certify"].__globals__["THRESHOLDS"], "bf16", (1e-9, 98.0))
    with pytest.raises(ParityError, match=r"unet on random input: relative error .* > 1e-09"):
        build(model, tmp_path / "out", backend="torch", precision="bf16", rows=4)
    assert list(tmp_path.iterdir()) == []
    built = build(model, tmp_path / "out", backend="torch", precision="bf16", rows=4, allow_parity_failure=True)
    assert not built.manifest.certified
    assert not read_certificate(built).passed
    load(built.folder, device="cpu")
    assert "FAILED its parity certificate" in caplog.text


def test_weights_that_give_nan_are_named(make_model: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = make_model(seed=3)
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_out.bias"].fill_(float("nan"))
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"unet.*conv_out.bias holds NaN"):
        build(broken, tmp_path / "out", backend="torch", rows=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_inpainting_pipeline_is_built_and_certified(make_model: Callable[..., Path], tmp_path: Path) -> None:
    built = build(make_model(in_channels=9), tmp_path / "out", rows=4)
    assert built.manifest.spec.unet_in_channels == 9
    assert built.manifest.certified


@pytest.mark.slow
def test_a_plain_sd1_unet_is_built_and_certified(make_model: Callable[..., Path], tmp_path: Path) -> None:
    """SD 1.x's own options."""
    folder = make_model(resnet_time_scale_shift="default", addition_embed_type=None, sample_size=32)
    built = build(folder, tmp_path / "out", rows=4)
    assert built.manifest.certified


@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("tensorrt-rtx", marks=pytest.mark.slow)])
def test_a_killed_build_is_resumed_with_its_finished_parts(model: Path, tmp_path: Path, backend: str) -> None:
    options = {"rows": 2} if backend == "onnxruntime" else {"rows": 2, "target": "sm_89", "backend": backend}
    if backend == "tensorrt-rtx":
        pytest.importorskip("tensorrt_rtx_bindings")
    whole = build(model, tmp_path / "whole", **options)  # type: ignore[arg-type]
    code = (
        "import os, signal, sys, engines\n"
        "def step(name, so_far=''): name.startswith('real input') and os.kill(os.getpid(), signal.SIGKILL)\n"
        f"engines.build(sys.argv[1], sys.argv[2], progress=step, **{options})"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(model), str(tmp_path / "out")], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.glob(".out.partial-*")
    if backend == "onnxruntime":
        shutil.copytree(left, tmp_path / left.name.replace("out", "flipped"))
        (record,) = tmp_path.glob(".out.parts-*")
        shutil.copy(record, tmp_path / record.name.replace("out", "flipped"))
    steps: list[str] = []
    resumed = build(model, tmp_path / "out", progress=lambda step, so_far="": steps.append(step), **options)  # type: ignore[arg-type]
    kept = "kept from the build that was stopped"
    assert re.fullmatch(rf"building {model.name} in fp32, with about \d+\.\d GB of memory", steps[0])
    assert steps[1:3] == [f"text encoder and unet: {kept}", f"vae: {kept}"]
    assert [a.path for a in resumed.manifest.artefacts] == [a.path for a in whole.manifest.artefacts]
    if backend == "onnxruntime":  # TensorRT chooses its kernels by time
        assert resumed.digest == whole.digest
        damaged = tmp_path / left.name.replace("out", "flipped") / "vae_decoder" / "model.onnx"
        with damaged.open("r+b") as file:
            file.seek(damaged.stat().st_size // 2)
            file.write(bytes([file.peek(1)[0] ^ 1]))
        steps.clear()
        flipped = build(model, tmp_path / "flipped", progress=lambda step, so_far="": steps.append(step), rows=2)
        assert steps[1:3] == [f"text encoder and unet: {kept}", "vae decoder"]
        assert flipped.digest == whole.digest
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

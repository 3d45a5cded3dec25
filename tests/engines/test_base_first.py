"""A bundle of a student and its base: what is shared, what is certified, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from adapters_helpers import kohya_file
from diffusers import StableDiffusionPipeline
from family_pipelines import PIPELINES
from safetensors.torch import load_file, save_file
from tiny_pipeline import tiny_pipeline

import engines
from engines.adapters import Lora, with_adapters
from engines.bundle import read_bundle, read_record
from engines.certificate import Certificate
from engines.errors import EngineError
from engines.manifest import PARITY, PARITY_BASE

UNET = Path("unet/diffusion_pytorch_model.safetensors")


def student_of(base: Path, folder: Path, part: Path = UNET) -> Path:
    """A copy with other weights in one part, which says that it is a student."""
    shutil.copytree(base, folder)
    weights = load_file(folder / part)
    save_file({name: value * 1.01 for name, value in weights.items()}, folder / part)
    facts = {"few_steps": {"solver": "lcm", "steps": 4, "guidance": 1.0}, "lineage": ["b"]}
    (folder / "dermforge.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("pair")
    base = tiny_pipeline(root / "base", False)
    (base / "dermforge.json").write_text(json.dumps({"lineage": ["a"]}))
    return base, student_of(base, root / "student")


@pytest.mark.parametrize("backend", ["torch", pytest.param("onnxruntime", marks=pytest.mark.slow)])
def test_both_denoisers_are_certified_and_the_other_parts_are_shared(
    backend: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    base, student = folders
    engines.build(student, tmp_path / "bundle", backend=backend, rows=4, base=base)
    bundle = read_bundle(tmp_path / "bundle")
    spec = bundle.manifest.spec
    assert (spec.lineage, spec.guidance) == (["a", "b"], "none")
    for name in (PARITY, PARITY_BASE):
        assert read_record(bundle, name, Certificate).passed
        kept = (bundle.folder / name).rename(tmp_path / name)
        with pytest.raises(EngineError, match=f"has no {name}, the certificate"):
            read_bundle(bundle.folder)
        kept.rename(bundle.folder / name)
    assert {a.path.split("/")[1] for a in bundle.manifest.artefacts if a.path.startswith("base/")} == {
        "model_index.json",
        "unet",
    }
    engine = engines.load(tmp_path / "bundle", device="cpu")
    assert engine.base is not None
    x, times, text = torch.randn(2, 4, 8, 8), torch.tensor([999.0, 5.0]), engine.encode_text(["a", "b"])
    alone = [tmp_path / name for name in ("of-base", "of-student")]
    for folder, where in zip((base, student), alone, strict=True):
        engines.build(folder, where, backend=backend, rows=4)
    for got, where in zip((engine.base, engine), alone, strict=True):
        assert torch.equal(got.denoise(x, times, text), engines.load(where, device="cpu").denoise(x, times, text))


def test_a_student_of_another_pipeline_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, _ = folders
    vae = student_of(base, tmp_path / "vae", Path("vae/diffusion_pytorch_model.safetensors"))
    with pytest.raises(EngineError, match="differ in vae"):
        engines.build(vae, tmp_path / "bundle", backend="torch", rows=4, base=base)
    with pytest.raises(EngineError, match=r"is no student of .* the same unet.*also where it says nothing"):
        engines.build(base, tmp_path / "bundle", backend="torch", rows=4, base=base)
    stored = Path(shutil.copytree(base, tmp_path / "stored"))  # equal weights in another file
    save_file(dict(reversed(load_file(base / UNET).items())), stored / UNET, metadata={"of": "another program"})
    with pytest.raises(EngineError, match="is no student of"):
        engines.build(stored, tmp_path / "bundle", backend="torch", rows=4, base=base)
    other = tiny_pipeline(tmp_path / "inpaint", True)
    with pytest.raises(EngineError, match="differ in unet_in_channels"):
        engines.build(other, tmp_path / "bundle", backend="torch", rows=4, base=base)
    assert not (tmp_path / "bundle").exists()


def test_an_adapter_that_changes_more_than_the_denoiser_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, _ = folders
    pipeline = StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    file = kohya_file(pipeline, tmp_path / "both.safetensors", 3)
    with with_adapters(base, [Lora(file)], []) as student:
        said = rf"both\.safetensors changes text_encoder of {base} beside its unet.*an adapter of the unet alone"
        with pytest.raises(EngineError, match=said):
            engines.build(student, tmp_path / "bundle", backend="torch", rows=4, base=base)


@pytest.mark.parametrize(
    "given", [{"backend": "tensorrt-rtx", "target": "sm_89"}, {"backend": "torch", "target": "cpu"}]
)
def test_what_is_not_built_for_two_denoisers_is_refused(
    given: dict[str, str], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    base, student = folders
    with pytest.raises(EngineError, match="a bundle with a base is built for onnxruntime or torch"):
        engines.build(student, tmp_path / "bundle", base=base, **given)  # type: ignore[arg-type]


def test_a_family_without_a_schedule_of_noise_levels_is_refused(tmp_path: Path) -> None:
    base = PIPELINES["flux-schnell"](tmp_path / "base")
    with pytest.raises(EngineError, match=r"flow matching.*PixArt") as refused:
        engines.build(base, tmp_path / "bundle", base=base, size=64)
    assert "`few_steps`" in str(refused.value)
